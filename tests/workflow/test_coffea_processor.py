"""A processor in coffea's own Runner: the pipeline's counts and sums, and none of a part of the events."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import yaml
from coffea.nanoevents import NanoAODSchema, PFNanoAODSchema
from coffea.processor import FuturesExecutor, IterativeExecutor, Runner, accumulate, column_accumulator
from coffea.processor.executor import ExecutorBase
from coffea.util import coffea_console
from helpers import toy_analysis, toy_search
from helpers.toy_nano import toy_nano

import oddjets
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.io import PFNano
from oddjets.io.histograms import HistogramSet
from oddjets.workflow.coffea_processor import processor

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

#: the sums of the pipeline are rounded once, not added up in another order
EXACT = 1e-12


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coffea_console, "quiet", True)


def negative(record: dict[str, Any], runs: dict[str, Any]) -> None:
    """Weights of many sizes, some negative."""
    toy_search.heavy(record, runs)
    rng = np.random.default_rng(4)
    record["genWeight"] = rng.normal(3.0, 2.0, len(record["genWeight"])).astype(np.float32)
    runs["genEventSumw"] = np.array([record["genWeight"].astype(np.float64).sum()])


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis of two files of data, one of them of a dataset of its own, and two datasets of one process."""
    folder = tmp_path_factory.mktemp("search")
    found = {
        "data1": [
            toy_nano(folder / "data1.root", 130, is_data=True, seed=1),
            toy_nano(folder / "none.root", 0, is_data=True, run=3, seed=5),
        ],
        "data2": [toy_nano(folder / "data2.root", 70, is_data=True, run=2, seed=2)],
        "top": [toy_nano(folder / "top.root", 60, seed=3, change=toy_search.heavy)],
        "more": [toy_nano(folder / "more.root", 50, seed=4, change=negative)],
    }
    systematics = ["jms", "pref", {"name": "isr", "own_normalisation": True}, "scale"]
    regions = {**toy_search.SEARCH["regions"], "loose": {"cuts": ["jet_mass"]}}
    content = {
        **toy_search.SEARCH,
        "regions": regions,
        "systematics": systematics,
        "execution": {"executor": "iterative"},
    }
    return toy_analysis.write(folder, found, **content).rename(folder / "analysis.yaml")


@pytest.fixture(scope="module")
def pipeline(search: Path, tmp_path_factory: pytest.TempPathFactory) -> oddjets.Run:
    """The same, by the pipeline."""
    run = oddjets.Run(search, output=tmp_path_factory.mktemp("out") / "one")
    run.up_to("workspace", progress=False)
    return run


class Backwards(IterativeExecutor):
    """Does the last chunk first, and adds up in pairs."""

    def __call__(self, items: Any, function: Any, accumulator: Any) -> Any:
        done = [function(item) for item in reversed(list(items))]
        while len(done) > 1:
            done = [accumulate(done[i : i + 2]) for i in range(0, len(done), 2)]
        return accumulate([*done, accumulator]), 0


class Again(IterativeExecutor):
    """Does a chunk a second time and adds both, as no executor should."""

    def __call__(self, items: Any, function: Any, accumulator: Any) -> Any:
        items = list(items)
        # not the file's first look, where nothing is added
        again = items[-1:] if hasattr(items[0], "entrystart") else []
        return accumulate(map(function, [*items, *again]), accumulator), 0


def runner(executor: ExecutorBase | None = None, **options: Any) -> Runner:
    return Runner(executor or IterativeExecutor(), **{"schema": PFNano, "chunksize": 60, **options})


def assert_same(found: HistogramSet, expected: HistogramSet) -> None:
    """Contents and variances agree within rounding: relative to what was added, where weights cancel."""
    assert (found.variations, found.luminosity_pb, found.threshold) == (
        expected.variations,
        expected.luminosity_pb,
        expected.threshold,
    )
    assert list(found.histograms) == list(expected.histograms)
    assert list(found.shared_events.items()) == list(expected.shared_events.items())
    filled = 0
    for region, observable in expected.histograms:
        assert found.edges(region, observable).tolist() == expected.edges(region, observable).tolist()
        for process, variations in expected.variations.items():
            for letter in "ABCD":
                for variation in variations:
                    place = region, observable, process, letter, variation
                    scale = np.sqrt(expected.variances(*place)).max()
                    np.testing.assert_allclose(
                        found.values(*place), expected.values(*place), EXACT, EXACT * scale, err_msg=str(place)
                    )
                    np.testing.assert_allclose(found.variances(*place), expected.variances(*place), EXACT)
                    filled += np.count_nonzero(expected.values(*place))
    assert filled > 100


def assert_same_cutflow(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert list(found["datasets"]) == list(expected["datasets"])
    for name, entry in expected["datasets"].items():
        assert found["datasets"][name]["raw"] == entry["raw"]
        np.testing.assert_allclose(found["datasets"][name]["weighted"], entry["weighted"], EXACT)
        for cut, (raw, weighted) in expected["n_minus_1"][name].items():
            assert found["n_minus_1"][name][cut][0] == raw
            np.testing.assert_allclose(found["n_minus_1"][name][cut][1], weighted, EXACT)


def assert_of_the_pipeline(results: Mapping[str, Any], run: oddjets.Run) -> None:
    assert results["refused"] == []
    assert_same(results["histogram_set"], run.histograms.found)
    assert_same_cutflow(results["cutflow"], json.loads((run.output / "cutflow.json").read_text()))
    manifest = json.loads((run.output / "manifests" / "process.json").read_text())["extra"]["datasets"]
    for name, found in manifest.items():
        mine = results["datasets"][name]
        assert {k: v for k, v in mine["input_anomalies"].items() if v} == {
            k: v for k, v in found["input_anomalies"].items() if v
        }
        assert (mine["entries"], mine["rows"]) == (found["entries"], found["rows"])


@pytest.mark.parametrize(
    "options",
    [
        {"chunksize": 13},
        {"chunksize": 1000, "schema": PFNanoAODSchema},
        {"executor": Backwards()},
        {"schema": NanoAODSchema, "savemetrics": True},
    ],
    ids=["small chunks", "a file a chunk", "in another order", "NanoAOD's schema"],
)
def test_counts_and_sums_are_those_of_the_pipeline(
    search: Path, pipeline: oddjets.Run, options: dict[str, Any]
) -> None:
    made = processor(search)
    found = runner(**options)(made.fileset, made)
    assert_of_the_pipeline(found[0] if options.get("savemetrics") else found, pipeline)


@pytest.mark.slow
def test_so_they_are_of_processes_and_of_a_dask_cluster(search: Path, pipeline: oddjets.Run) -> None:
    made = processor(search)
    assert_of_the_pipeline(runner(FuturesExecutor(workers=2, merging=(2, 2, 3)))(made.fileset, made), pipeline)
    distributed = pytest.importorskip("distributed", reason="needs dask: pip install 'oddjets[dask]'")
    from coffea.processor import DaskExecutor

    options = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "silence_logs": logging.CRITICAL}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = DaskExecutor(client=client, status=False, treereduction=3)
        assert_of_the_pipeline(runner(executor)(made.fileset, made), pipeline)


def test_a_workspace_follows(search: Path, pipeline: oddjets.Run) -> None:
    made = processor(search)
    results = runner()(made.fileset, made)
    fit = made.analysis.fit.model_copy(update={"regions": ("SR", "loose")})
    with pytest.raises(OddjetsError, match=r"SR and loose share \d+ events"):
        oddjets.stats.build(made.analysis.model_copy(update={"fit": fit}), results["histogram_set"])
    workspace, _ = oddjets.stats.build(made.analysis, results["histogram_set"])
    expected, found = oddjets.stats.Model(pipeline.workspace).fit(), oddjets.stats.Model(workspace).fit()
    assert found["mu"] == pytest.approx(expected["mu"], rel=1e-6)
    assert results["histograms"]["SR", "leading_mass"].axes.name == ("process", "letter", "variation", "leading_mass")


# ---- what is added ---------------------------------------------------------------------------------------------------


def leaves(accumulator: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if not isinstance(accumulator, Mapping):
        return [(path, accumulator)]
    return [leaf for key, value in accumulator.items() for leaf in leaves(value, (*path, key))]


def test_an_accumulator_holds_nothing_that_must_not_be_added(search: Path) -> None:
    """coffea joins strings and adds any number: a cross section or a file's sum of weights of each chunk would be wrong."""
    made = processor(search)
    results = runner(chunksize=30)(made.fileset, made)
    of_top = results["datasets"]["top"]
    assert {type(leaf) for _, leaf in leaves(of_top)} == {int, float, np.ndarray, set, hist.Hist}
    assert {path[0] for path, leaf in leaves(of_top) if isinstance(leaf, float)} == {"weights"}
    assert [info.entries for info in of_top["files"]] == [60]
    assert list(of_top["chunks"].values()) == [{"0:30": 1, "30:60": 1}]
    assert isinstance(results["datasets"]["data1"]["smaller_scores"], column_accumulator)


def test_the_sums_of_several_runs_can_be_added_before_they_are_normalised(search: Path, pipeline: oddjets.Run) -> None:
    made = processor(search)
    parts = [runner()({name: made.fileset[name]}, made) for name in made.fileset]
    assert all("no file of it was read" in "".join(part["refused"]) for part in parts)
    assert_of_the_pipeline(made.postprocess(accumulate([part["datasets"] for part in parts])), pipeline)


class Stumbling(oddjets.DijetProcessor):
    """Fails at each chunk the first time, after everything was computed."""

    seen: set[int] = set()

    def process(self, events: Any) -> dict[str, Any]:
        found = super().process(events)
        place = hash((events.metadata["filename"], events.metadata["entrystart"]))
        if place not in self.seen:
            self.seen.add(place)
            raise OSError("the connection is lost")
        return found


@pytest.mark.fault(
    "A coffea executor that retries",
    "In coffea's own Runner: counts no event twice; histograms and cutflow are those of a run without failures.",
)
def test_an_executor_that_retries_counts_nothing_twice(search: Path) -> None:
    plain = {"regions": {"SR": {"cuts": ["two_jets"]}, "VR1": {"cuts": ["not SR"]}}}
    expected = processor(search, plain, selection=oddjets.DijetProcessor)
    stumbling = processor(search, plain, selection=Stumbling)
    found = runner(IterativeExecutor(retries=1))(stumbling.fileset, stumbling)
    wanted = runner()(expected.fileset, expected)
    assert len(Stumbling.seen) > 5
    assert found["refused"] == []
    for key, histogram in wanted["histograms"].items():
        assert found["histograms"][key] == histogram
    for name, entry in wanted["cutflow"]["datasets"].items():
        assert found["cutflow"]["datasets"][name] == entry


@pytest.mark.fault(
    "A coffea executor that adds a chunk twice",
    "Stops and names the file and the events.",
)
def test_an_executor_that_adds_a_chunk_again_is_found_out(search: Path) -> None:
    made = processor(search)
    with pytest.raises(OddjetsError, match=r"more\.root: events 0 to 50 were counted twice \(dataset 'more'\)"):
        runner(Again())(made.fileset, made)


def test_a_file_under_two_names_is_found_out(search: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((search.parent / "fileset.json").read_text())
    content["top"]["files"].append(str(tmp_path / "copy.root"))
    (tmp_path / "copy.root").write_bytes((search.parent / "top.root").read_bytes())
    made = processor(search, fileset=content)
    with pytest.raises(OddjetsError, match=r"top\.root|copy\.root: events 0 to 60 were counted twice"):
        runner()(made.fileset, made)


# ---- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "Only a part of the events read (`maxchunks`)",
    "In coffea's own Runner: normalises nothing and names the files; what was counted can be looked at.",
)
def test_maxchunks_is_not_normalised(search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = processor(search)
    results = runner(chunksize=40, maxchunks=1)(made.fileset, made)
    assert "data1.root: 44 of 130 events were read" in "".join(results["refused"])
    assert "not normalised, because not all events were read" in capsys.readouterr().err
    with pytest.raises(OddjetsError, match="there is no 'histograms': not normalised"):
        results["histograms"]
    with pytest.raises(KeyError, match="no 'histogram' in the results"):
        results["histogram"]
    # what there is, is there: 44 events, and their weights as they are stored
    assert results["datasets"]["data1"]["raw"][0] == 44
    in_regions = [results["datasets"]["data1"]["histograms"][r, "leading_mass"] for r in ("SR", "VR1")]
    counted = sum(h[{"process": "data", "variation": "nominal"}].sum(flow=True).value for h in in_regions)
    assert counted == results["datasets"]["data1"]["raw"][-1]


@pytest.mark.parametrize(("dataset", "said"), [("data1", "bad.root was not read"), ("data2", "'data2': no file of it")])
def test_a_file_that_was_skipped_is_not_passed_over(search: Path, tmp_path: Path, dataset: str, said: str) -> None:
    content = yaml.safe_load((search.parent / "fileset.json").read_text())
    (tmp_path / "bad.root").write_bytes(b"no ROOT file")
    kept = content[dataset]["files"] if dataset == "data1" else []
    content[dataset]["files"] = [*kept, str(tmp_path / "bad.root")]
    made = processor(search, fileset=content)
    results = runner(skipbadfiles=(OSError, ValueError))(made.fileset, made)
    assert said in "".join(results["refused"])
    assert "histograms" not in results


@pytest.mark.fault(
    "A chunk skipped by coffea (`skipbadfiles`)",
    "Normalises nothing and names the file.",
)
def test_a_chunk_that_was_skipped_is_not_passed_over(search: Path) -> None:
    """The Runner skips a chunk where reading fails, with a warning among others."""

    class Losing(oddjets.DijetProcessor):
        def process(self, events: Any) -> dict[str, Any]:
            if events.metadata["dataset"] == "data2" and events.metadata["entrystart"] == 0:
                raise OSError("lost")
            return super().process(events)

    plain = {"regions": {"SR": {"cuts": ["two_jets"]}, "VR1": {"cuts": ["not SR"]}}}
    made = processor(search, plain, selection=Losing)
    results = runner(IterativeExecutor(retries=0), chunksize=35, skipbadfiles=True)(made.fileset, made)
    assert "dataset 'data2': the beginning of a file" in "".join(results["refused"])


# ---- the threshold ---------------------------------------------------------------------------------------------------


def test_the_threshold_of_an_efficiency_is_found_in_a_first_pass(
    search: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"threshold": {"value": None, "efficiency": 0.3}}
    run = oddjets.Run(oddjets.load(search, changes), output=tmp_path / "out")
    run.up_to("histogram", progress=False)
    made = processor(search, changes, score_cache=tmp_path / "scores")
    assert "a first pass over the data finds it" in " ".join(capsys.readouterr().err.split())
    data = {name: entry for name, entry in made.fileset.items() if name.startswith("data")}
    first = runner()(data, made)
    assert first["threshold"] == run.histograms.found.threshold
    with pytest.raises(OddjetsError, match=r"run again with processor.with_threshold\(RESULTS\)"):
        first["histogram_set"]
    assert_of_the_pipeline(runner(Backwards())(made.fileset, made.with_threshold(first)), run)
    wrong = runner()(made.fileset, made.with_threshold(0.123))
    assert "filled with 0.123, and these data give" in wrong["refused"][0]
    with pytest.raises(OddjetsError, match="no file of it was read"):
        made.with_threshold(runner()({"top": made.fileset["top"]}, made))


@pytest.mark.parametrize("given", ["0.3", float("nan"), True, None, 7])
def test_what_is_no_threshold_or_not_that_of_the_analysis_is_refused_before_a_pass(search: Path, given: Any) -> None:
    made = processor(search)
    assert made.with_threshold(made.analysis.threshold.value).threshold is not None
    message = "and the analysis fixes 'threshold.value' at" if given == 7 else "is no threshold"
    with pytest.raises(OddjetsError, match=message):
        made.with_threshold(given)


def test_data_in_a_of_a_blind_analysis_are_in_no_accumulator(search: Path) -> None:
    shown, hidden = (processor(search, {"fit": {"blind": blind}}) for blind in (False, True))
    data = {"data2": shown.fileset["data2"]}
    for made, empty in ((shown, False), (hidden, True)):
        found = runner()(data, made)["datasets"]["data2"]["histograms"]
        in_a = sum(h[{"letter": "A"}].sum(flow=True).value for h in found.values())
        assert (in_a == 0) is empty


# ---- filesets --------------------------------------------------------------------------------------------------------


def preprocessed(search: Path) -> dict[str, Any]:
    """The fileset as coffea's preprocessing returns it."""
    content = yaml.safe_load((search.parent / "fileset.json").read_text())
    sizes = {"data1": 130, "none": 0, "data2": 70, "top": 60, "more": 50}
    for entry in content.values():
        entry |= {"form": None, "compressed_form": None, "format": "root", "did": None}
        entry["files"] = {
            file: {
                "object_path": "Events",
                "steps": [[start, min(start + 50, size)] for start in range(0, size, 50)],
                "num_entries": size,
                "uuid": "0",
                "format": "root",
            }
            for file in entry["files"]
            for size in [sizes[Path(file).stem]]
        }
    return content


def test_a_preprocessed_fileset_is_taken(search: Path, pipeline: oddjets.Run, tmp_path: Path) -> None:
    content = preprocessed(search)
    with gzip.open(tmp_path / "fileset.json.gz", "wt") as file:
        json.dump(content, file)
    made = processor(search, fileset=tmp_path / "fileset.json.gz")
    assert made.fileset == processor(search, fileset=content).fileset == processor(search).fileset
    # the Runner cuts files itself, of the fileset as it is too
    assert_of_the_pipeline(runner()(content, made, treename="Events"), pipeline)


def test_a_fileset_whose_steps_leave_events_out_is_refused(search: Path) -> None:
    content = preprocessed(search)
    about = next(iter(content["data2"]["files"].values()))
    about["steps"] = about["steps"][:1]
    with pytest.raises(ConfigError, match="'steps' leave out 20 of its 70 events"):
        processor(search, fileset=content)


def test_a_zipped_fileset_that_is_broken_is_said(search: Path, tmp_path: Path) -> None:
    file = tmp_path / "fileset.json.gz"
    file.write_bytes(gzip.compress(b'{"a": 1}' * 100)[:-12])
    with pytest.raises(ConfigError, match=r"fileset\.json\.gz: cannot be read"):
        processor(search, fileset=file)


def test_what_the_runner_is_told_and_what_the_processor_knows_agree(search: Path) -> None:
    made = processor(search)
    fileset, run = made.fileset, runner(IterativeExecutor(retries=0), metadata_cache={})
    wrong = {"top": fileset["top"] | {"metadata": {"cross_section_pb": 2.0}}}
    with pytest.raises(Exception, match=r"says cross_section_pb is 2.0, and the processor's says 1.0"):
        run(wrong, made)
    with pytest.raises(Exception, match="dataset 'ttbar' is not in the fileset of the processor"):
        run({"ttbar": fileset["top"]}, made)
    bare = {name: list(entry["files"]) for name, entry in fileset.items()}
    assert runner(metadata_cache={})(bare, made, treename="Events")["refused"] == []


def test_a_cross_section_that_is_mended_counts_at_once(search: Path) -> None:
    """coffea keeps the metadata of a file that it has seen, under its name, for the whole session."""
    content = yaml.safe_load((search.parent / "fileset.json").read_text())
    yields = []
    for cross_section in (1.0, 3.0):
        content["top"]["metadata"]["cross_section_pb"] = cross_section
        made = processor(search, fileset=content)
        yields.append(runner()(made.fileset, made)["cutflow"]["datasets"]["top"]["weighted"][-1])
    assert yields[1] == pytest.approx(3 * yields[0])


# ---- the instance ----------------------------------------------------------------------------------------------------


def test_it_pickles_without_the_file_that_its_class_is_of(search: Path) -> None:
    made = processor(search)
    text = pickle.dumps(made.with_threshold(0.5))
    again = pickle.loads(text)
    assert type(again) is type(made)
    assert (again.analysis, again.datasets, again.threshold.value) == (made.analysis, made.datasets, 0.5)
    assert len(text) < 20_000


@pytest.mark.slow
def test_a_subclass_of_a_notebook_travels_to_other_processes(search: Path) -> None:
    base = type(processor(search))
    notebook: dict[str, Any] = {"__name__": "__main__", "Base": base, "oddjets": oddjets}
    exec(
        "class Mine(Base):\n"
        "    @oddjets.cut\n"
        "    def light(self, table):\n"
        "        return table['mass_1'] < self.parameters['light']\n",
        notebook,
    )
    changes = {"selection": {"parameters": {"light": 120.0}}, "regions": {"SR": {"cuts": ["light"]}}}
    made = processor(search, changes, selection=notebook["Mine"])
    results = runner(FuturesExecutor(workers=2))(made.fileset, made)
    masses = results["histograms"]["SR", "leading_mass"]["data", sum, "nominal", :]
    assert masses.values()[masses.axes[0].edges[:-1] >= 120].sum() == 0
    assert masses.values().sum() > 20


def test_mistakes_are_told_before_anything_is_run(search: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cut or region 'heavy'"):
        processor(search, {"regions": {"SR": {"cuts": ["heavy"]}}})
    with pytest.raises(OddjetsError, match=r"give its path, or give the changes to oddjets\.load"):
        processor(oddjets.load(search), {"name": "other"})
    with toy_search.inside(tmp_path), pytest.raises(OddjetsError, match=r"up_to\('simulate'\) makes it"):
        processor("demo_small.yaml")


class Lazy:
    """An array that is a graph."""

    def __dask_graph__(self) -> None: ...


def test_dask_awkward_arrays_are_refused_in_words(search: Path) -> None:
    made = processor(search)
    with pytest.raises(OddjetsError, match="give the processor to coffea's Runner with a DaskExecutor"):
        made.process(Lazy())
    pytest.importorskip("dask_awkward", reason="needs dask-awkward: pip install 'oddjets[dask-awkward]'")
    from coffea.dataset_tools import apply_to_fileset

    with pytest.raises(OddjetsError, match="as by coffea's apply_to_fileset"):
        apply_to_fileset(made, {"top": made.fileset["top"]}, schemaclass=PFNano)


def test_a_trigger_path_that_no_file_has_is_said(search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = processor(search, {"selection": {"triggers": ["PFHT800", "PFHT8000"]}})
    results = runner(chunksize=1000)(made.fileset, made)
    said = " ".join(capsys.readouterr().err.split())
    assert "dataset 'top': no file has the trigger path 'HLT_PFHT8000', which counts as not fired" in said
    assert "HLT_PFHT800'" not in said
    assert results["refused"] == []


def test_events_of_another_format_are_refused_in_words(search: Path) -> None:
    made = processor(search)
    metadata = dict.fromkeys(("fileuuid", "entrystop"), 0) | {
        "dataset": "top",
        "filename": "a.parquet",
        "entrystart": 0,
    }
    with pytest.raises(OddjetsError, match=r"a\.parquet: not read from a ROOT file"):
        made.process(NoFile(metadata))


class NoFile(list[Any]):
    """A chunk without events, of no ROOT file."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        super().__init__()
        self.metadata = metadata


def test_events_that_no_runner_gave_are_refused_in_words(search: Path) -> None:
    with pytest.raises(OddjetsError, match="have no 'dataset'"):
        processor(search).process([])


def test_the_luminosity_is_that_of_the_certified_sections_read(search: Path, tmp_path: Path) -> None:
    golden = {"1": [[1, 4]], "2": [[2, 3]], "3": [[1, 9]]}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    (tmp_path / "g.yaml").write_text(
        yaml.safe_dump({"name": "g", "periods": {"G": {"runs": [1, 3], "luminosity_pb": 90.0}}})
    )
    (tmp_path / "fileset.json").write_text((search.parent / "fileset.json").read_text().replace('"simulation"', '"g"'))
    content = yaml.safe_load(search.read_text()) | {"era": "g", "systematics": ["jms"]}
    content["selection"] |= {"golden_json": "golden.json", "cuts": ["certified", "two_jets"]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    run = oddjets.Run(tmp_path / "a.yaml", output=tmp_path / "out")
    run.up_to("histogram", progress=False)
    made = processor(tmp_path / "a.yaml")
    results = runner(chunksize=40)(made.fileset, made)
    # 4 and 2 of 15 sections
    assert results["histogram_set"].luminosity_pb == run.histograms.found.luminosity_pb == pytest.approx(36.0)
