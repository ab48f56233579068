"""Skims: the same rows bit for bit, the same sums of weights and sections, from a fraction of the bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
import uproot
import yaml
from analysis import of_simulation
from chunks import copy
from toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets import cli, config, datasets, events
from oddjets.errors import OddjetsError
from oddjets.pipeline import Run, run_stage
from oddjets.skimming import skim

#: everything that the simulated era has: varied jets, corrections, weights of the generator and of its top quarks
SYSTEMATICS = ["jes", "jms", "jmr", "pu", "pref", "isr", "fsr", "toppt"]


def run_of(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return Run(config.load(folder / "a.yaml"), folder / "out")


def processed(folder, data):
    run = run_of(folder, data)
    run_stage(run, run.stage("process"))
    return run


def fileset_of(folder, sample, **files):
    """A fileset of some files with the metadata of the simulation's datasets."""
    content = {
        name: {"files": [str(f) for f in paths], "metadata": sample.fileset[name]["metadata"]}
        for name, paths in files.items()
    }
    (folder / "fileset.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder / "fileset.json")


@pytest.fixture(scope="module")
def before(tmp_path_factory, sample):
    """The analysis of a few simulated events in three files, processed; half the events do not pass."""
    folder = tmp_path_factory.mktemp("before")
    files = {name: [copy(sample.files(name)[0], folder / f"{name}.root", stop=40)] for name in ("data", "top")}
    files["data"].append(copy(sample.files("data")[1], folder / "more.root", stop=20))
    data = of_simulation(sample.folder) | {"fileset": fileset_of(folder, sample, **files), "systematics": SYSTEMATICS}
    data["selection"]["jets"] = {"pt_min": 430.0, "mass_min": 70.0}
    data["execution"] = {"executor": "iterative", "chunk_size": 17}
    return processed(folder, data), data


@pytest.fixture(scope="module")
def after(tmp_path_factory, before):
    """The same analysis on its skim."""
    run, data = before
    folder = tmp_path_factory.mktemp("after")
    fileset = skim(run, folder / "skim")
    return processed(folder, data | {"fileset": str(fileset)})


def test_rows_are_the_same_bits(before, after):
    for dataset in ("data", "top"):
        one, other = (events.read(run.out / "events", dataset) for run in (before[0], after))
        assert len(one["event"]) > 5
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_sums_of_weights_and_luminosity_are_those_of_all_events(before, after):
    one, other = (run.extra("process")["datasets"] for run in (before[0], after))
    for dataset, found in one.items():
        for name in ("sum_of_weights", "sums_of_variations", "luminosity_pb", "cross_section_pb", "rows"):
            assert other[dataset][name] == found[name]
        assert other[dataset]["entries"] == other[dataset]["rows"] < found["entries"]
    assert one["top"]["sum_of_weights"] > one["top"]["entries"]
