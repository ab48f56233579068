"""Filesets: all errors at once, and files that are what they are said to be."""

import json

import numpy as np
import pytest
import uproot

from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError
from oddjets.io.fileset import inspect, load_fileset

SIMULATION = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
DATA = {"process": "data", "is_data": True, "era": "simulation", "luminosity_pb": 10.0}


def fileset(folder, content):
    file = folder / "fileset.json"
    file.write_text(json.dumps(content))
    return file


def root_file(folder, *, simulated=True, runs=True, name="a.root"):
    file = folder / name
    with uproot.recreate(file) as out:
        branches = {"run": np.ones(3, np.uint32), "event": np.arange(3)}
        out.mktree(
            "Events", {k: v.dtype for k, v in (branches | ({"genWeight": np.ones(3)} if simulated else {})).items()}
        )
        out["Events"].extend(branches | ({"genWeight": np.ones(3)} if simulated else {}))
        if runs:
            out.mktree("Runs", {"genEventSumw": "f8"})
            out["Runs"].extend({"genEventSumw": np.array([1.5, 2.0])})
    return file


def test_relative_paths_start_at_the_fileset(tmp_path):
    file = fileset(tmp_path, {"top": {"files": ["sub/a.root", "root://host//b.root"], "metadata": SIMULATION}})
    loaded = load_fileset(file)["top"]
    assert loaded.files == (str(tmp_path / "sub" / "a.root"), "root://host//b.root")


def test_all_errors_of_all_datasets_at_once(tmp_path):
    broken = {k: v for k, v in SIMULATION.items() if k != "cross_section_pb"}
    content = {
        "a": {"files": ["x.root"], "metadata": broken},
        "b": {"files": ["x.root"], "metadata": SIMULATION | {"overlap_group": "tt"}},
        "c": {"files": [], "metadata": SIMULATION | {"overlap_group": "tt"}},
        "d": {"files": ["y.root"], "metadata": SIMULATION | {"proces": "top"}},
    }
    with pytest.raises(ConfigError) as caught:
        load_fileset(fileset(tmp_path, content))
    for part in (
        "a.metadata: simulation needs",
        "listed twice",
        "c.files: empty",
        "b: overlaps with c",
        "proces: unknown",
    ):
        assert part in str(caught.value)


def test_inspect_reads_entries_and_sums_of_weights(tmp_path):
    info = inspect(str(root_file(tmp_path)), is_data=False)
    assert (info.entries, info.sum_of_weights) == (3, 3.5)


@pytest.mark.parametrize(
    ("made", "is_data", "message"),
    [
        ({}, True, "listed as data"),
        ({"simulated": False}, False, "listed as simulation"),
        ({"runs": False}, False, "genEventSumw"),
    ],
)
def test_files_that_are_not_what_they_are_said_to_be(tmp_path, made, is_data, message):
    file = root_file(tmp_path, **made)
    with pytest.raises(InputFileError, match=message):
        inspect(str(file), is_data=is_data)


@pytest.mark.fault(
    "File truncated at 10, 50, 99 %",
    "Compares the size in the file's header with the size on disk; stops before processing and names the file.",
)
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, keep):
    file = root_file(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputFileError, match=r"a\.root: .*truncated"):
        inspect(str(file), is_data=False)


def test_a_missing_file_names_its_neighbours(tmp_path):
    root_file(tmp_path, name="signal.root")
    with pytest.raises(InputFileError, match=r"did you mean 'signal\.root'"):
        inspect(str(tmp_path / "singal.root"), is_data=False)


@pytest.mark.fault("Tree missing", "Names the file and its trees.")
def test_a_file_without_events_tree(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as out:
        out.mktree("Other", {"x": "f4"})
    with pytest.raises(InputFileError, match="no tree 'Events'; it has Other"):
        inspect(str(tmp_path / "a.root"), is_data=False)


@pytest.mark.parametrize("steps", ["x", 5, [5], [[0]], [["a", 1]], [[0, float("inf")]]])
def test_steps_that_are_no_pairs_of_entries_are_said(tmp_path, steps):
    about = {"object_path": "Events", "steps": steps, "num_entries": 5}
    metadata = {"process": "data", "is_data": True, "era": "2018"}
    (tmp_path / "f.json").write_text(json.dumps({"data": {"files": {"a.root": about}, "metadata": metadata}}))
    with pytest.raises(ConfigError, match=r"data: 'steps' must be pairs of entries"):
        load_fileset(tmp_path / "f.json")
