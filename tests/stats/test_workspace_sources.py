"""Where a workspace comes from, and the patches that change it."""

from __future__ import annotations

import copy
import gzip
import json
import lzma

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_point, random_workspace
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.stats import Model
from oddjets.stats.histfactory.workspace_checks import WorkspaceError
from oddjets.stats.histfactory.workspace_sources import load_workspace, patch_of

SIGNAL = [{"op": "replace", "path": "/channels/0/samples/0/data/0", "value": 7.5}]


@pytest.fixture
def workspace():
    return random_workspace(1)


def patch_set(workspace, operations=SIGNAL):
    """Two patches as HEPData publishes them."""
    metadata = {
        "references": {"hepdata": "ins1234567"},
        "description": "signals",
        "digests": {"sha256": pyhf.utils.digest(workspace)},
        "labels": ["m1", "m2"],
    }
    patches = [
        {"metadata": {"name": f"C1N2_300_{m}", "values": [300, m]}, "patch": operations if m == 100 else []}
        for m in (50, 100)
    ]
    return {"metadata": metadata, "patches": patches, "version": "1.0.0"}


@pytest.fixture
def files(tmp_path, workspace):
    """A folder with a workspace, a patch and a patch set."""
    for name, content in (("BkgOnly", workspace), ("patch", SIGNAL), ("patchset", patch_set(workspace))):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_every_source_gives_the_same_likelihood(tmp_path, workspace):
    text = json.dumps(workspace)
    (tmp_path / "w.json").write_text(text, encoding="utf-8")
    (tmp_path / "w.json.xz").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "w.json.gz").write_bytes(gzip.compress(text.encode()))
    theirs = pyhf.Workspace(workspace)
    pair = (theirs.model(), theirs.data(theirs.model()))
    one = Model(workspace)
    point = random_point(one, 1)
    for source in (theirs, pair, str(tmp_path / "w.json"), tmp_path / "w.json.xz", tmp_path / "w.json.gz"):
        other = Model(source)
        assert other.poi == one.poi
        assert other.parameters.names == one.parameters.names
        assert other.twice_nll(point) == one.twice_nll(point)


def test_a_pair_keeps_its_auxiliary_data(workspace):
    theirs = pyhf.Workspace(workspace)
    model = theirs.model()
    data = np.asarray(theirs.data(model))
    data[model.config.nmaindata :] += 0.1
    ours = Model((model, data))
    assert np.array_equal(ours.to_pyhf(ours.data)[0], data)
    point = random_point(ours, 2)
    assert ours.twice_nll(point) == pytest.approx(pyhf.infer.mle.twice_nll(point, data, model)[0], abs=1e-6)


def test_a_pair_without_a_parameter_of_interest():
    theirs = pyhf.simplemodels.uncorrelated_background([5.0], [50.0], [7.0])
    model = pyhf.Model(theirs.spec, poi_name="")
    assert Model((model, [52.0, *model.config.auxdata])).poi is None


def test_a_pair_takes_no_patches(workspace):
    theirs = pyhf.Workspace(workspace)
    with pytest.raises(OddjetsError, match="patch the workspace first"):
        Model((theirs.model(), theirs.data(theirs.model())), patches=[SIGNAL])


def test_a_model_of_another_interpolation_is_refused(workspace):
    settings = {"normsys": {"interpcode": "code1"}, "histosys": {"interpcode": "code0"}}
    model = pyhf.Workspace(workspace).model(modifier_settings=settings)
    with pytest.raises(
        WorkspaceError, match="interpolates normsys by code1; the fast fit supports only pyhf's default, code4"
    ):
        Model((model, pyhf.Workspace(workspace).data(model)))


@pytest.mark.parametrize("form", ["operations", "file", "name", "values", "object"])
def test_a_patch_in_every_form(files, workspace, form):
    patch = {
        "operations": SIGNAL,
        "file": files / "patch.json",
        "name": (files / "patchset.json", "C1N2_300_100"),
        "values": (patch_set(workspace), [300, 100]),
        "object": (pyhf.PatchSet(patch_set(workspace)), (300, 100)),
    }[form]
    before = copy.deepcopy(workspace)
    patched = load_workspace(workspace, [patch])
    assert patched["channels"][0]["samples"][0]["data"][0] == 7.5
    assert workspace == before


def test_patches_as_pyhf_applies_them(workspace):
    theirs = pyhf.PatchSet(patch_set(workspace)).apply(pyhf.Workspace(workspace), "C1N2_300_100")
    assert load_workspace(workspace, [(patch_set(workspace), "C1N2_300_100")]) == dict(theirs)


def test_the_digest_is_of_the_workspace_before_any_patch(workspace):
    load_workspace(workspace, [[{"op": "add", "path": "/new", "value": 1}], (patch_set(workspace), "C1N2_300_100")])
    other = random_workspace(2)
    with pytest.raises(WorkspaceError, match=r"made for a different workspace: .* algorithm 'sha256'"):
        load_workspace(other, [(patch_set(workspace), "C1N2_300_100")])


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            {"op": "remove", "path": "/channels/9"},
            r"operation 0 \(remove /channels/9\) does not apply: .* no /channels/9;",
        ),
        (
            {"op": "add", "path": "/channels/0/samples/0/x/y", "value": 1},
            r"the workspace has no /channels/0/samples/0/x;",
        ),
        ({"op": "move", "from": "/a", "path": "/b"}, "the workspace has no /a;"),
        ({"op": "test", "path": "/version", "value": "2"}, "a different value there than the patch expects"),
        ({"op": "ad", "path": "/version", "value": "2"}, "operation 0 is not an operation of RFC 6902"),
        ({"path": "/version"}, "operation 0 is not an operation of RFC 6902"),
        ("add", "operation 0 is not an operation of RFC 6902"),
        ({"op": "replace", "path": "", "value": 3}, "removes the whole workspace"),
    ],
)
def test_a_patch_that_does_not_apply(workspace, operation, message):
    with pytest.raises(WorkspaceError, match=message) as error:
        load_workspace(workspace, [[operation]])
    assert len(str(error.value)) < 300


def test_a_patch_of_a_set_that_is_not_there(files):
    with pytest.raises(InputFileError, match=r"patchset.json: has no patch 'C1N2_300_10'; did you mean 'C1N2_300_100'"):
        load_workspace(files / "BkgOnly.json", [(files / "patchset.json", "C1N2_300_10")])
    with pytest.raises(InputFileError, match=r"patchset.json: is a patch set; select a patch with FILE:NAME"):
        load_workspace(files / "BkgOnly.json", [files / "patchset.json"])


def test_what_is_no_patch_set(files):
    with pytest.raises(InputFileError, match=r"patch.json: is not a patch set of pyhf"):
        load_workspace(files / "BkgOnly.json", [(files / "patch.json", "x")])
    with pytest.raises(InputFileError, match=r"BkgOnly.json: a JSON patch is a list of operations"):
        load_workspace(files / "BkgOnly.json", [files / "BkgOnly.json"])


def test_a_digest_that_nobody_can_compute(workspace):
    content = patch_set(workspace)
    content["metadata"]["digests"] = {"sha255": "abc"}
    with pytest.raises(InputFileError, match=r"not a patch set|cannot be checked"):
        load_workspace(workspace, [(content, "C1N2_300_100")])


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_a_compressed_file_cut_off(tmp_path, suffix):
    packed = (lzma if suffix == ".xz" else gzip).compress(b'{"channels": []}' * 50)
    path = tmp_path / f"w.json{suffix}"
    for content in (packed[:-20], b"{}"):
        path.write_bytes(content)
        with pytest.raises(InputFileError, match=r"w.json\..z: cannot be decompressed"):
            load_workspace(path)


def test_a_value_of_nan_in_a_patch(workspace):
    with pytest.raises(WorkspaceError, match="bin 0 is nan"):
        Model(workspace, patches=[[{**SIGNAL[0], "value": float("nan")}]])


def test_what_the_command_line_names():
    assert patch_of("a/b.json") == "a/b.json"
    assert patch_of("a/b.json:x:y") == ("a/b.json", "x:y")
    assert patch_of("b.json.xz:300, 100") == ("b.json.xz", "300, 100")


@pytest.mark.parametrize("patch", ["patch.json", "patchset.json:C1N2_300_100", "patchset.json:300,100"])
def test_the_verb_fits_the_patched_workspace(files, workspace, patch):
    out = files / "out"
    found = CliRunner().invoke(
        app, ["fit", str(files / "BkgOnly.json"), "--patch", str(files / patch), "--out", str(out)]
    )
    assert found.exit_code == 0, found.output
    value = json.loads((out / "results.json").read_text(encoding="utf-8"))["pois"][0]["value"]
    assert value == pytest.approx(Model(workspace, patches=[SIGNAL]).fit()["mu"], abs=1e-5)


def test_a_published_workspace_from_its_compressed_file(shared_dir):
    file = shared_dir / "data" / "workspaces" / "atlas_susy_2018_31_SRB.json.xz"
    if not file.is_file():
        pytest.skip(f"needs the published workspace {file.name}")
    patch = [{"op": "replace", "path": "/measurements/0/config/poi", "value": "lumi"}]
    assert Model(file).poi == "mu_SIG"
    assert Model(file, patches=[patch]).poi == "lumi"


def test_a_patch_set_with_a_key_twice_is_refused(files, workspace):
    text = (files / "patchset.json").read_text(encoding="utf-8")
    (files / "patchset.json").write_text(text.replace('"value": 7.5', '"value": 7.5, "value": 8.5'), encoding="utf-8")
    with pytest.raises(InputFileError, match=r"patchset.json: 'value' is there twice in /patches/1/patch/0, and only"):
        load_workspace(workspace, [(files / "patchset.json", "C1N2_300_100")])
