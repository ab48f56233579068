"""`clean` removes what nothing refers to, and nothing else."""

import json
import os
import time

import pytest
import yaml
from helpers.analyses import content
from helpers.toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets.cli import main
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.workflow import clean
from oddjets.workflow.pipeline import run_stage, run_stages, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.skim.run import skim

DAY = 86400.0


def analysis_of(folder):
    """Data and simulation of random jets, with a score of branches and no fit."""
    toy_nano(folder / "data.root", 60, is_data=True)
    toy_nano(folder / "top.root", 50, seed=2)
    known = {"era": "simulation"}
    fileset = {
        "data": {"files": ["data.root"], "metadata": known | {"process": "data", "is_data": True}},
        "top": {
            "files": ["top.root"],
            "metadata": known | {"process": "top", "is_data": False, "cross_section_pb": 1.0},
        },
    }
    (folder / "fileset.json").write_text(json.dumps(fileset))
    data = content(
        luminosity=1.0,
        scores={"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
        threshold={"score": "xbb", "value": 0.5},
        processes={"top": {"label": "top pairs"}},
        systematics=[],
        execution={"executor": "iterative"},
        fit=None,
    )
    (folder / "a.yaml").write_text(yaml.safe_dump(data))
    return load_analysis(folder / "a.yaml")


@pytest.fixture
def finished(tmp_path):
    """The stages process, histogram and, as far as `clean` is concerned, plot."""
    run = RunContext(analysis_of(tmp_path), tmp_path / "out")
    run_stages(run, [stage_of(run, "process"), stage_of(run, "histogram")])
    (run.out / "figures").mkdir()
    (run.out / "figures" / "score.png").write_bytes(b"drawn")
    note = {"stage": "plot", "key": "", "outputs": [], "extra": {"figures": ["figures/score.png"]}}
    (run.out / "manifests" / "plot.json").write_text(json.dumps(note))
    return run


def old(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)
    os.utime(path, (time.time() - DAY,) * 2)
    return path


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


ORPHANS = [
    "events/top/part-0000-000000000000.parquet",
    "events/gone/part-0000-000000000000.parquet",
    "events/top/.part-0000-000000000000.parquet.12345.0a1b2c3d",
    "chunks/top/part-0000-000000000000-0123456789ab.json",
    "chunks/top/.part-0000-000000000000-0123456789ab.json.12345.0a1b2c3d",
    "histograms/SR.gone.json",
    "figures/gone.pdf",
    "simulation/.multiparton.dat.12345.0a1b2c3d",
    "simulation/top/.top-0001.root.12345.0a1b2c3d",
    "scores/0123abcd/11111111-2222-3333-4444-555555555555/part-000000000000-000000000010-0123456789ab.npz",
    ".threshold.json.12345.0a1b2c3d",
]
STRANGERS = [
    "notes.txt",
    "events/top/notes.parquet",
    "figures/mine.svg",
    "histograms/notes.json",
    "chunks/top/notes.json",
    "gone.root.old",
]


def test_orphans_go_and_the_rest_stays(finished):
    before = files_of(finished.out)
    there = [old(finished.out / name) for name in ORPHANS]
    strangers = [old(finished.out / name) for name in STRANGERS]
    found = clean.orphans(finished.out)
    assert [orphan.path for orphan in found] == sorted(there)
    assert {orphan.size for orphan in found} == {100}
    clean.remove(found)
    after = files_of(finished.out)
    assert {path: after.pop(path) for path in strangers} == dict.fromkeys(strangers, b"x" * 100)
    assert after == before
    assert not (finished.out / "events" / "gone").exists()
    assert clean.orphans(finished.out) == []


def test_all_that_was_done_is_done_afterwards(finished):
    for name in ORPHANS:
        old(finished.out / name)
    clean.remove(clean.orphans(finished.out))
    run = RunContext(finished.analysis, finished.out)
    assert [run_stage(run, stage_of(run, name)) for name in ("process", "histogram")] == [False, False]


def test_what_an_unfinished_stage_left_is_kept(finished):
    """It goes on from there."""
    parts = [old(finished.out / name) for name in ORPHANS[:2]]
    (finished.out / "manifests" / "process.json").unlink()
    clean.remove(clean.orphans(finished.out))
    assert all(part.exists() for part in parts)


def test_a_temporary_file_that_may_be_in_use_is_kept(finished):
    path = old(finished.out / ORPHANS[2])
    os.utime(path)
    assert clean.orphans(finished.out) == []


def test_a_link_to_elsewhere_is_not_followed(finished, tmp_path):
    elsewhere = old(tmp_path / "elsewhere" / "part-0000-000000000000.parquet")
    (finished.out / "events" / "gone").symlink_to(elsewhere.parent)
    assert clean.orphans(finished.out) == []


def test_a_folder_without_manifests_is_refused(tmp_path):
    path = old(tmp_path / ORPHANS[0])
    with pytest.raises(OddjetsError, match="no manifests"):
        clean.orphans(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "process.json").write_text('{"stage": "proc')
    with pytest.raises(OddjetsError, match="no manifests") as refused:
        clean.orphans(tmp_path)
    assert refused.value.exit_code == 2
    assert path.exists()


@pytest.mark.slow
def test_skims_of_files_that_are_gone_are_removed(tmp_path):
    run = RunContext(analysis_of(tmp_path), tmp_path / "out")
    skim(run, tmp_path / "skim")
    before = files_of(tmp_path / "skim")
    orphan = old(tmp_path / "skim" / "top" / "gone-0123abcd.root")
    half = old(tmp_path / "skim" / "top" / f".{orphan.name}.12345.0a1b2c3d")
    old(tmp_path / "skim" / "top" / "mine.root")
    found = clean.orphans(tmp_path / "skim")
    assert [o.path for o in found] == [half, orphan]
    clean.remove(found)
    assert len(files_of(tmp_path / "skim")) == len(before) + 1


def test_simulated_files_of_another_fileset_are_removed(tmp_path):
    out = tmp_path / "out"
    there = [old(out / "simulation" / name) for name in ("top/top-0000.root", "top/top-0000.json", "truth/notes.npz")]
    gone = [
        old(out / "simulation" / name) for name in ("top/top-0001.json", "top/top-0001.root", "truth/data-0001.npz")
    ]
    (out / "simulation" / "fileset.json").write_text(json.dumps({"top": {"files": {"top/top-0000.root": "Events"}}}))
    old(out / "manifests" / "simulate.json").write_text(json.dumps({"extra": {}}))
    assert [orphan.path for orphan in clean.orphans(out)] == gone
    assert all(path.exists() for path in there)


def test_the_command_line_lists_sizes_and_a_dry_run_removes_nothing(finished):
    path = old(finished.out / ORPHANS[0])
    for options, text in ((["--dry-run"], "1 files, 0.000 MB to remove"), ([], "1 files, 0.000 MB removed")):
        assert path.exists()
        result = CliRunner().invoke(main.app, ["clean", str(finished.out), *options])
        assert result.exit_code == 0
        assert f"{path}: 0.000 MB, no result of `process`" in result.output.replace("\n", "")
        assert text in result.output
    assert not path.exists()
