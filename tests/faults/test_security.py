"""Files from strangers: nothing in them runs, leaves its folder or fills the memory (docs/security.md)."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.protobuf import field

from oddjets.config.yaml import ConfigError, read_yaml
from oddjets.core import provenance
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections import lookups
from oddjets.io import fileset, paper_npz
from oddjets.io.histograms import HistogramSet
from oddjets.report.text import label_html, prose_html
from oddjets.scoring.model_card import load_card
from oddjets.scoring.onnx_session import get_session
from oddjets.workflow import clean

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "oddjets"
CARD = ROOT / "models" / "omnilearned_small_simulation.yaml"


class Harmful:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


# ---- YAML --------------------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 10))


@pytest.mark.fault(
    "A YAML bomb", "Refuses it while parsing: aliases must not multiply, and a node must not contain itself."
)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "its aliases stand for 1.* values"),
        (MERGES, "its aliases stand for 3.* values"),
        ("a: &a [*a]", "an alias of a mapping or list that contains it"),
        ("a: " + "9" * 5000, "no valid YAML"),
        ("a: 2026-99-99", "no valid YAML"),
        ("[" * 1500, "no valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
    ids=["aliases", "merges", "recursion", "number", "date", "depth", "object"],
)
def test_a_yaml_bomb_is_refused(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_card_that_is_a_bomb_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(LAUGHS)
    with pytest.raises(OddjetsError, match="its aliases stand for"):
        load_card(tmp_path / "a.yaml")


def test_a_file_too_large_for_a_configuration_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("oddjets.config.yaml._LARGEST_FILE", 100)
    (tmp_path / "a.yaml").write_text("a: 1 " + "#" * 100)
    with pytest.raises(ConfigError, match="too much for a YAML file"):
        read_yaml(tmp_path / "a.yaml")


def test_aliases_and_long_files_are_read_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("oddjets.config.yaml._MOST_NODES", 10)
    content = {"files": [f"{i}.root" for i in range(50)]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    assert read_yaml(tmp_path / "a.yaml") == content
    (tmp_path / "b.yaml").write_text("a: &a {x: 1}\nb: *a\n")
    assert read_yaml(tmp_path / "b.yaml") == {"a": {"x": 1}, "b": {"x": 1}}


def test_a_range_of_class_indices_does_not_fill_the_memory(tmp_path):
    card = yaml.safe_load(CARD.read_text())
    card["classes"]["QCD"] = "0-99999999999"
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(OddjetsError, match="not a valid model card"):
        load_card(tmp_path / "card.yaml")


# ---- npz ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("An npz with a pickle", "Refuses it; no code in it runs.")
def test_a_pickle_in_an_npz_does_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", prediction=np.array([Harmful(tmp_path / "ran")]), cond=np.zeros((2, 52)))
    with pytest.raises(InputFileError, match="cannot be read as npz without pickles"):
        paper_npz.read_file(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault("An archive that does not fit into memory when unpacked", "Refuses it before unpacking.")
def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_npz, "_SMALL", 100_000)
    np.savez_compressed(tmp_path / "a.npz", prediction=np.zeros((100_000, 12)), cond=np.zeros((2, 52)))
    with pytest.raises(InputFileError, match=r"'prediction\.npy' is \d+ times larger unpacked than packed"):
        paper_npz.read_file(tmp_path / "a.npz")


@pytest.mark.parametrize("place", [8, 10])
def test_a_header_that_names_a_password_or_an_unknown_compression_is_an_error(tmp_path, place):
    np.savez(tmp_path / "a.npz", prediction=np.zeros((2, 12)), cond=np.zeros((2, 52)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + place] = 0x63 if place == 10 else 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputFileError, match="cannot be read as npz"):
        paper_npz.read_file(tmp_path / "a.npz")


def test_a_header_that_claims_more_than_memory_holds_is_an_error(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 1 << 12)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("prediction.npy", header.getvalue())
        archive.writestr("cond.npy", header.getvalue())
    with pytest.raises(InputFileError, match="cannot be read as npz"):
        paper_npz.read_file(tmp_path / "a.npz")


# ---- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A dataset whose name is a path", "Refuses it: nothing is written outside the output folder.")
@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/x", "a/b", "..", ".hidden", "C:x", "a\\b", "a\nb"])
def test_a_dataset_whose_name_is_a_path_is_refused(tmp_path, name):
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (tmp_path / "f.json").write_text(json.dumps({name: {"files": ["a.root"], "metadata": metadata}}))
    with pytest.raises(ConfigError, match="a dataset's name is a folder's"):
        fileset.load_fileset(tmp_path / "f.json")


@pytest.mark.fault("An era with download paths outside the cache", "Refuses paths that leave the cache.")
@pytest.mark.parametrize(
    "change", [{"path": "../../.profile"}, {"path": "/etc/passwd"}, {"path": "a/../../b"}, {"name": "../../era"}]
)
def test_official_files_stay_in_the_cache(tmp_path, change):
    file = {"path": change.get("path", "a.json"), "sha256": "0" * 64, "source": "https://example.org/a.json"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": change.get("name", "mine"), "files": {"a": file}}))
    with pytest.raises(OddjetsError, match=r"leaves the cache|should match pattern"):
        lookups.load_era("mine", tmp_path)


@pytest.mark.fault(
    "A manifest with a path outside its folder", "Never reads or removes files outside the output folder."
)
def test_a_manifest_cannot_name_files_outside(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    for folder in (out / "events" / "top", out / "figures", outside):
        folder.mkdir(parents=True)
    victim = outside / "part-0000000000000000-000000000000-000000000001.parquet"
    victim.write_text("precious")
    names = {"../../outside": {"parts": [], "files": {}}, "../outside": {"parts": [], "files": {}}}
    for stage, extra in (
        ("process", {"datasets": names}),
        ("skim", {"datasets": names}),
        ("plot", {"figures": ["../x"]}),
    ):
        provenance.write_manifest(out, stage, {"stage": stage, "key": "0", "extra": extra})
    (out / "events" / "linked").symlink_to(outside)
    found = clean.orphans(out)
    assert not [orphan for orphan in found if outside in orphan.path.resolve().parents]
    clean.remove(found)
    assert victim.read_text() == "precious"


def test_an_index_of_histograms_names_no_files_outside(tmp_path):
    (tmp_path / "histograms").mkdir()
    (tmp_path / "secret.mass.json").write_text("{}")
    (tmp_path / "histograms" / "index.json").write_text(json.dumps({"histograms": [["../secret", "mass"]]}))
    with pytest.raises(InputFileError, match="is not a valid name of a region"):
        HistogramSet.load(tmp_path / "histograms")


# ---- models ------------------------------------------------------------------------------------------------------


def model_with_weights_in(location: str) -> bytes:
    """An ONNX model that adds two numbers of another file to its input (onnx.proto, ModelProto)."""
    entries = {"location": location, "offset": "0", "length": "8"}
    external = b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries.items())
    weights = field(1, 2) + field(2, 1) + field(8, "w") + external + field(14, 1)
    shape = field(2, field(1, field(1, 2)))
    values = {name: field(1, name) + field(2, field(1, field(1, 1) + shape)) for name in ("x", "y")}
    node = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "Add")
    graph = field(1, node) + field(2, "g") + field(5, weights) + field(11, values["x"]) + field(12, values["y"])
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


@pytest.mark.fault(
    "A model with weights outside its folder", "Refuses it, whether by `../`, an absolute path or a link."
)
@pytest.mark.parametrize("how", ["up", "absolute", "link"])
def test_weights_of_a_model_stay_in_its_folder(tmp_path, how):
    pytest.importorskip("onnxruntime")
    outside = tmp_path / "outside.bin"
    outside.write_bytes(np.ones(2, np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "linked.bin").symlink_to(outside)
    location = {"up": "../outside.bin", "absolute": str(outside), "link": "linked.bin"}[how]
    (folder / "m.onnx").write_bytes(model_with_weights_in(location))
    card = yaml.safe_load(CARD.read_text()) | {"file": "m.onnx", "sha256": sha256_of(folder / "m.onnx")}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(OddjetsError, match="does not load"):
        get_session(load_card(folder / "card.yaml"), "cpu")


def test_the_model_of_these_tests_loads_with_weights_beside_it(tmp_path):
    """Else the refusals above would show nothing."""
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "w.bin").write_bytes(np.array([3, 4], np.float32).tobytes())
    (tmp_path / "m.onnx").write_bytes(model_with_weights_in("w.bin"))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.zeros(2, np.float32)})[0].tolist() == [3, 4]


# ---- the program itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "$<img src=x onerror=alert(1)>$", '"><b>', "$\\bar{<b>}$"]
)
@pytest.mark.parametrize("shown", [label_html, prose_html])
def test_labels_and_prose_are_escaped(shown, text):
    html = str(shown(text))
    assert "<script" not in html
    assert "<img" not in html
    assert "<b>" not in html


def calls_in_sources() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                options = {keyword.arg or "**": keyword.value for keyword in node.keywords}
                yield path.relative_to(SOURCES).as_posix(), ast.unparse(node.func), options


def is_trusted(path: str, function: str) -> bool:
    """The user's own processor; and what the client sends to workers of a dask cluster, which run its code anyway."""
    sent_by_client = path.startswith("workflow/executors/dask") and function == "pickle.loads"
    return (path, function) == ("selection/processor_loader.py", "exec") or sent_by_client


def test_no_module_unpickles_or_runs_what_it_reads():
    wanted = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True), "yaml.load": ("Loader", None)}
    forbidden = {"eval", "exec", "os.system", "pickle.load", "pickle.loads", "joblib.load", "yaml.unsafe_load"}
    for path, function, options in calls_in_sources():
        if function in wanted:
            option, value = wanted[function]
            assert option in options, f"{path}: {function} without {option}"
            if value is not None:
                assert ast.literal_eval(options[option]) is value, path
        assert function not in forbidden or is_trusted(path, function), f"{path}: {function}"
        assert "shell" not in options, path
