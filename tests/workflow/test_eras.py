"""Several eras in one fit, against templates and a model computed without oddjets; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
import pytest
import yaml
from coffea.processor import IterativeExecutor, Runner
from helpers import toy_analysis as toy
from helpers import toy_eras
from helpers.toy_eras import EDGES, FIRST, PARTS, SECOND, normalisation, templates
from typer.testing import CliRunner

import oddjets
from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet
from oddjets.io.nanoaod_schema import PFNano
from oddjets.report.artifacts import Artifacts
from oddjets.report.eras import era_checks, luminosity_table, nuisance_table
from oddjets.stats.model import Model
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.shipped_files import pack
from oddjets.workflow.keys import rows_keys
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.skim.run import skim
from oddjets.workflow.validation import resolve

#: nuisance parameter to the column's suffix that each era varies by
SCHEME = {
    "jes": {1: "jes", 2: "jes"},
    f"jms_{FIRST}": {1: "jms"},
    f"jms_{SECOND}": {2: "jms"},
    "pu": {1: "pu", 2: "pu"},
    f"pref_{FIRST}": {1: "pref"},
}


#: a weight of the user's
OWN = {"name": "jms_x", "correction": {"nominal": "1", "up": "1.1", "down": "0.9"}, "correlation": "all"}


def fit_with(luminosity: Any) -> dict[str, Any]:
    return {
        "observable": "leading_mass",
        "regions": ["SR"],
        "poi": {"process": "top", "bounds": [0, 10]},
        "goodness_of_fit": {"toys": 0},
        "luminosity_uncertainty": luminosity,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    made = toy.run_of(toy_eras.write(tmp_path_factory.mktemp("eras")))
    run_stages(made, stages_up_to(made, "workspace"))
    return made


@pytest.fixture(scope="module")
def workspace(run: RunContext) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.out / "workspace.json").read_text())
    return content


def of_era(run: RunContext, number: int, variation: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return an era's normalised template, letter by letter: events, and sums of squared weights."""
    factor = normalisation(run.analysis.folder, number)
    found = templates(run.out, f"top_{number}", variation)
    return {letter: (factor * sums[0], factor**2 * sums[1]) for letter, sums in found.items()}


def data(run: RunContext) -> dict[str, np.ndarray]:
    first, second = (templates(run.out, f"data_{n}", "nominal") for n in (1, 2))
    return {letter: first[letter][0] + second[letter][0] for letter in "ABCD"}


def test_the_workspace_has_the_sums_that_are_computed_by_hand(run: RunContext, workspace: dict[str, Any]) -> None:
    channels = {channel["name"]: channel for channel in workspace["channels"]}
    nominal = {n: of_era(run, n, "nominal") for n in (1, 2)}
    parts = {name for of in PARTS.values() for name in of}
    for letter in "ABCD":
        sample = next(s for s in channels[f"SR_{letter}"]["samples"] if s["name"] == "top")
        total = nominal[1][letter][0] + nominal[2][letter][0]
        np.testing.assert_allclose(sample["data"], total, rtol=1e-6)
        modifiers = {m["name"]: m for m in sample["modifiers"]}
        expected = {"mu", f"mcstat_top_SR_{letter}", *SCHEME, *(f"lumi_{name}" for name in parts)}
        assert set(modifiers) == expected
        for name, sources in SCHEME.items():
            for side, key in (("Up", "hi_data"), ("Down", "lo_data")):
                varied = sum(
                    of_era(run, n, sources[n] + side if n in sources else "nominal")[letter][0] for n in (1, 2)
                )
                varied = np.where(total > 0, varied, 0.0)
                np.testing.assert_allclose(modifiers[name]["data"][key], varied, rtol=1e-6, err_msg=f"{name}{side}")
        for name in parts:
            sums = [nominal[n][letter][0].sum() for n in (1, 2)]
            sizes = [PARTS[era].get(name, 0.0) for era in (FIRST, SECOND)]
            scales = modifiers[f"lumi_{name}"]["data"]
            assert scales["hi"] == pytest.approx(np.dot(sums, np.add(1, sizes)) / np.sum(sums), rel=1e-6)
            assert scales["lo"] == pytest.approx(np.dot(sums, 1 / np.add(1, sizes)) / np.sum(sums), rel=1e-6)
    observed = {o["name"]: o["data"] for o in workspace["observations"]}
    for letter, counts in data(run).items():
        assert observed[f"SR_{letter}"] == counts.tolist()


def by_eras(run: RunContext, *, luminosity: float | None) -> tuple[pyhf.Model, list[float]]:
    """Build the model of pyhf in which each era has a sample of its own, with its own uncertainties.

    Args:
        run: the two eras.
        luminosity: one log-normal for all; None: the parts of each era.
    """
    observed = data(run)
    nominal = {n: of_era(run, n, "nominal") for n in (1, 2)}
    total = {x: nominal[1][x][0] + nominal[2][x][0] for x in "ABCD"}
    qcd = {x: np.maximum(observed[x] - total[x], 0.5) for x in "BCD"}
    qcd["A"] = qcd["B"] * qcd["C"] / qcd["D"]
    channels, parameters = [], []
    for letter in "ABCD":
        samples = []
        for n, era in ((1, FIRST), (2, SECOND)):
            events, squares = nominal[n][letter]
            lumi = PARTS[era] if luminosity is None else {"all": luminosity}
            modifiers: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}]
            modifiers += [
                {"name": f"lumi_{name}", "type": "normsys", "data": {"hi": 1 + size, "lo": 1 / (1 + size)}}
                for name, size in lumi.items()
            ]
            for name, sources in SCHEME.items():
                if n in sources:
                    up, down = (
                        np.where(total[letter] > 0, of_era(run, n, sources[n] + side)[letter][0], 0.0).tolist()
                        for side in ("Up", "Down")
                    )
                    modifiers.append({"name": name, "type": "histosys", "data": {"hi_data": up, "lo_data": down}})
            modifiers.append({"name": f"stat_{letter}", "type": "staterror", "data": np.sqrt(squares).tolist()})
            samples.append({"name": f"top_{era}", "data": events.tolist(), "modifiers": modifiers})
        factors = {"A": "sbc", "B": "sb", "C": "sc", "D": "s"}[letter]
        shape = [{"name": f"qcd_{f}", "type": "shapefactor", "data": None} for f in factors]
        samples.append({"name": "qcd", "data": qcd[letter].tolist(), "modifiers": shape})
        channels.append({"name": letter, "samples": samples})
    for factor in "sbc":
        bins = len(EDGES) - 1
        parameters.append({"name": f"qcd_{factor}", "bounds": [[0.0, 50.0]] * bins, "inits": [1.0] * bins})
    model = pyhf.Model({"channels": channels, "parameters": parameters}, poi_name="mu", validate=False)
    main = [value for letter in "ABCD" for value in observed[letter].tolist()]
    return model, main + model.config.auxdata


def ours_at(workspace: dict[str, Any]) -> tuple[pyhf.Model, list[float]]:
    made = pyhf.Workspace(workspace)
    model = made.model()
    return model, made.data(model)


def test_adding_the_eras_up_is_the_model_with_a_sample_an_era(run: RunContext, tmp_path: Path) -> None:
    """At any value of the parameters: an additive variation of the sum is the sum of the eras' variations."""
    again = load_analysis(toy_eras.write(tmp_path, fit=fit_with(0.03)))
    made = RunContext(again, tmp_path / "out")
    run_stages(made, stages_up_to(made, "workspace"))
    model, observed = ours_at(json.loads((made.out / "workspace.json").read_text()))
    other, of_other = by_eras(made, luminosity=0.03)
    names = {"lumi": "lumi_all", **{f"mcstat_top_SR_{x}": f"stat_{x}" for x in "ABCD"}}
    names |= {f"qcd_{f}_SR": f"qcd_{f}" for f in "sbc"}
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(20):
        here, there = np.array(model.config.suggested_init()), np.array(other.config.suggested_init())
        for name in model.config.par_order:
            places = model.config.par_slice(name)
            positive = name == "mu" or name.startswith(("qcd", "mcstat"))
            values = (
                np.abs(rng.normal(1, 0.2, here[places].shape)) if positive else rng.normal(0, 1, here[places].shape)
            )
            here[places] = values
            there[other.config.par_slice(names.get(name, name))] = values
        assert len(here) == len(there)
        expected = model.expected_actualdata(here), other.expected_actualdata(there)
        order = [f"SR_{x}" for x in "ABCD"]
        slices = model.config.channel_slices
        np.testing.assert_allclose(np.concatenate([expected[0][slices[x]] for x in order]), expected[1], rtol=1e-6)
        differences.append(float(model.logpdf(here, observed)[0] - other.logpdf(there, of_other)[0]))
    np.testing.assert_allclose(differences, 0.0, atol=1e-4)
    # and so is the fit
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    best = pyhf.infer.mle.fit(of_other, other)[other.config.poi_index]
    assert Model(json.loads((made.out / "workspace.json").read_text())).fits.best["mu"] == pytest.approx(best, rel=2e-3)


def test_the_parts_of_the_luminosity_are_close_to_log_normals_of_each_era(
    run: RunContext, workspace: dict[str, Any]
) -> None:
    """The sum of the eras' log-normals is none; what a channel is scaled by differs in second order of the sizes."""
    model, observed = ours_at(workspace)
    other, of_other = by_eras(run, luminosity=None)
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    ours = pyhf.infer.mle.fit(observed, model, return_fitted_val=True)
    theirs = pyhf.infer.mle.fit(of_other, other, return_fitted_val=True)
    assert ours[0][model.config.poi_index] == pytest.approx(theirs[0][other.config.poi_index], rel=2e-3)
    assert Model(workspace).fits.best["mu"] == pytest.approx(ours[0][model.config.poi_index], rel=1e-3)


def test_one_threshold_is_found_in_all_data(tmp_path: Path) -> None:
    made = toy.run_of(toy_eras.write(tmp_path, fit=None, threshold={"score": "xbb", "efficiency": 0.2}))
    run_stages(made, stages_up_to(made, "histogram"))
    found = made.extra("histogram")["threshold"]
    assert found["n_data"] == sum(d["raw"][-1] for d in made.extra("process")["datasets"].values() if d["is_data"])
    assert found["efficiency_found"] == pytest.approx(0.2, abs=1 / found["n_data"])


def test_coffeas_runner_gives_the_same_sums(run: RunContext) -> None:
    made = oddjets.processor(str(run.analysis.path))
    runner = Runner(IterativeExecutor(status=False), schema=PFNano, chunksize=70)
    results = runner(made.fileset, made)
    ours = HistogramSet.load(run.out / "histograms")
    theirs = results["histogram_set"]
    assert results["cutflow"] == json.loads((run.out / "cutflow.json").read_text())
    assert {k: list(v) for k, v in theirs.variations.items()} == {k: list(v) for k, v in ours.variations.items()}
    assert theirs.luminosity_pb == ours.luminosity_pb == 35.0
    for process, names in ours.variations.items():
        for name in names:
            for letter in "ABCD":
                place = ("SR", "leading_mass", process, letter, name)
                np.testing.assert_allclose(theirs.values(*place), ours.values(*place), rtol=1e-12)


def test_the_manifest_and_the_report_list_the_eras(run: RunContext) -> None:
    found = run.extra("histogram")["eras"]
    assert found["luminosity_by_era_pb"] == {FIRST: 10.0, SECOND: 25.0}
    # both: 10 * 0.006 + 25 * 0.009; alone: 10 * 0.010, 25 * 0.020
    assert found["luminosity_uncertainty"] == pytest.approx(np.hypot(np.hypot(0.285, 0.1), 0.5) / 35)
    assert found["nuisances"] == {
        "jes": [FIRST, SECOND],
        f"jms_{FIRST}": [FIRST],
        f"jms_{SECOND}": [SECOND],
        "pu": [FIRST, SECOND],
        f"pref_{FIRST}": [FIRST],
    }
    artifacts = Artifacts(run.analysis, run.out)
    (line,) = era_checks(artifacts)
    assert (line.name, line.value, line.note) == ("Eras", "2, 35 /pb", f"{FIRST} 10 /pb, {SECOND} 25 /pb")
    luminosities, nuisances = luminosity_table(artifacts), nuisance_table(artifacts)
    assert luminosities is not None
    assert [[cell.text for cell in row[:3]] for row in luminosities.rows] == [
        [FIRST, "10 /pb", "1.2 %"],
        [SECOND, "25 /pb", "2.2 %"],
        ["all", "35 /pb", "1.7 %"],
    ]
    assert nuisances is not None
    assert [cell.text for cell in nuisances.rows[1]] == [f"jms_{FIRST}", "varied", "–"]


def test_files_that_nobody_checked_are_in_manifest_report_and_key(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path, systematics=["pu"], fit=None)
    era = yaml.safe_load((tmp_path / "corrections" / f"{FIRST}.yaml").read_text())
    era["files"]["all"]["sha256"] = "unchecked"
    (tmp_path / "corrections" / f"{FIRST}.yaml").write_text(yaml.safe_dump(era))
    made = toy.process(toy.run_of(file))
    corrections = tmp_path / "corrections" / f"{FIRST}.json"
    assert made.extra("process")["unchecked_files"] == {FIRST: {"all": sha256_of(corrections)}}
    (line,) = era_checks(Artifacts(made.analysis, made.out))
    assert (line.name, line.status, line.value) == ("Correction files", "watch", "1 not checked")
    assert f"all of {FIRST}" in line.note
    before, weights = rows_keys(made), toy.rows(made)["top_1"]["weight__puUp"]
    corrections.write_text(corrections.read_text().replace(str(toy_eras.PILEUP[FIRST]), "1.5"))
    after = rows_keys(toy.run_of(file))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before[FIRST] != after[FIRST]
    assert before[SECOND] == after[SECOND]
    again = toy.rows(toy.process(toy.run_of(file)))["top_1"]["weight__puUp"]
    np.testing.assert_allclose(again / weights, 1.5 / toy_eras.PILEUP[FIRST], rtol=1e-6)


def test_each_era_has_its_own_certified_sections(tmp_path: Path) -> None:
    """Runs 1 and 2 have sections 1 to 10; 4 and 5 of them are certified, of 8 and 5 in the golden JSON of the era."""
    file = toy_eras.write(
        tmp_path,
        luminosity=None,
        systematics=[],
        fit=None,
        selection={
            "triggers": ["PFHT800"],
            "filters": ["goodVertices"],
            "golden_json": "era",
            "cuts": ["certified", "two_jets"],
        },
    )
    corrections = tmp_path / "corrections"
    first, second = [[1, 1], [7, 9]], [2, 6]
    for era, run, last, total, more, runs in (
        (FIRST, 1, 4, 80.0, {"7": [[1, 4]]}, first),
        (SECOND, 2, 5, 50.0, {}, second),
    ):
        golden = corrections / f"golden{era}.json"
        golden.write_text(json.dumps({str(run): [[1, last]], **more}))
        content = yaml.safe_load((corrections / f"{era}.yaml").read_text())
        content["files"]["golden"] = {"path": golden.name, "sha256": sha256_of(golden), "source": "a test"}
        content |= {"golden_json": "golden", "periods": {"X": {"runs": runs, "luminosity_pb": total}}}
        (corrections / f"{era}.yaml").write_text(yaml.safe_dump(content))
    made = toy.run_of(file)
    run_stages(made, stages_up_to(made, "histogram"))
    assert made.luminosities == {FIRST: pytest.approx(40.0), SECOND: pytest.approx(50.0)}
    rows = toy.rows(made)
    assert set(rows["data_1"]["luminosityBlock"]) == {1, 2, 3, 4}
    assert set(rows["data_2"]["luminosityBlock"]) == {1, 2, 3, 4, 5}
    flow = json.loads((made.out / "cutflow.json").read_text())
    assert flow["luminosity_by_era_pb"] == {FIRST: pytest.approx(40.0), SECOND: pytest.approx(50.0)}
    # the cross section is 1 pb, so before any cut there are as many events as /pb
    assert [flow["datasets"][f"top_{n}"]["weighted"][0] for n in (1, 2)] == pytest.approx([40.0, 50.0])


def test_an_era_keeps_its_rows_when_another_one_joins(run: RunContext) -> None:
    """The key of an era's rows is that of an analysis of this era alone, and so is that of its templates."""
    folder = run.analysis.folder
    content = yaml.safe_load((folder / "a.yaml").read_text())
    content |= {"era": int(FIRST), "luminosity": 10.0, "fileset": "first.json"}
    content["systematics"][-1] = "pref"
    fileset = json.loads((folder / "fileset.json").read_text())
    (folder / "first.json").write_text(json.dumps({k: v for k, v in fileset.items() if k.endswith("1")}))
    (folder / "first.yaml").write_text(yaml.safe_dump(content))
    alone, both = rows_keys(toy.run_of(folder / "first.yaml", folder / "alone")), rows_keys(run)
    assert isinstance(both, dict)
    assert alone == both[FIRST] != both[SECOND]


def test_by_source_each_source_of_a_year_moves_that_year_alone(tmp_path: Path) -> None:
    made = toy.run_of(toy_eras.write(tmp_path, jes="sources", systematics=["jes"], fit=None))
    run_stages(made, stages_up_to(made, "histogram"))
    names = [f"{n}{d}" for n in ("jesAbsolute", "jesAbsolute_2101", "jesAbsolute_2102") for d in ("Up", "Down")]
    histograms = HistogramSet.load(made.out / "histograms")
    assert list(histograms.variations["top"]) == ["nominal", *names]
    factors = {n: normalisation(tmp_path, n) for n in (1, 2)}
    for name in names:
        expected = np.zeros(len(EDGES) - 1)
        for n, year in ((1, "2101"), (2, "2102")):
            varied = name if "_" not in name or year in name else "nominal"
            expected += factors[n] * templates(made.out, f"top_{n}", varied)["A"][0]
        np.testing.assert_allclose(histograms.values("SR", "leading_mass", "top", "A", name), expected, rtol=1e-6)
    table = event_table.read(made.out / "events", "top_2")
    moved = table["pt_1__jesAbsolute_2102Up"] / table["pt_1"]
    np.testing.assert_allclose(moved, 1 + toy_eras.SOURCES[SECOND]["Absolute_2102"], rtol=1e-6)
    assert "pt_1__jesAbsolute_2101Up" not in table


def test_the_selection_can_be_another_for_one_era(tmp_path: Path) -> None:
    stated = {int(SECOND): {"jets": {"pt_min": 600.0}}}
    made = toy.run_of(toy_eras.write(tmp_path, selection_by_era=stated, systematics=[], fit=None))
    run_stages(made, stages_up_to(made, "histogram"))
    lowest = dict.fromkeys((1, 2), np.inf)
    for n in (1, 2):
        lowest[n] = event_table.read(made.out / "events", f"top_{n}")["pt_2"].min()
    assert 450 < lowest[1] < 600 < lowest[2]
    # what the histograms select again is the era's own
    total = HistogramSet.load(made.out / "histograms").values("SR", "leading_mass", "top", "A").sum()
    tables = (templates(made.out, f"top_{n}", "nominal")["A"][0].sum() * normalisation(tmp_path, n) for n in (1, 2))
    assert total == pytest.approx(sum(tables), rel=1e-6)


def test_workers_without_a_file_system_get_all_eras(run: RunContext) -> None:
    packed = pack(ChunkWorker(run.resolved.source, run.analysis, (), str(run.out), 1))
    paths = [path for path, _, _ in packed.files]
    assert [path for path in paths if path.startswith("analysis/")] == [
        f"analysis/corrections/{name}"
        for name in (f"{FIRST}.json", f"{FIRST}.yaml", f"{SECOND}.json", f"{SECOND}.yaml")
    ]


@pytest.mark.slow
def test_a_skim_selects_by_the_era_of_each_dataset(tmp_path: Path) -> None:
    stated = {int(SECOND): {"jets": {"pt_min": 600.0}}}
    made = toy.run_of(toy_eras.write(tmp_path, selection_by_era=stated, fit=None))
    run_stages(made, stages_up_to(made, "process"))
    skimmed = json.loads(skim(made, tmp_path / "skim").read_text())
    assert {name: entry["metadata"]["era"] for name, entry in skimmed.items()} == {
        name: (FIRST if name.endswith("1") else SECOND) for name in skimmed
    }
    events = json.loads((tmp_path / "skim" / "manifests" / "skim.json").read_text())["extra"]["datasets"]
    rows = {name: found["rows"] for name, found in made.extra("process")["datasets"].items()}
    assert {name: found["events"] for name, found in events.items()} == rows


def problems(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(load_analysis(file))
    return str(caught.value)


def changed_fileset(folder: Path, **eras: str | None) -> None:
    """Give datasets another era; None takes them out."""
    content = json.loads((folder / "fileset.json").read_text())
    for name, era in eras.items():
        if era is None:
            del content[name]
        else:
            content[name]["metadata"]["era"] = era
    (folder / "fileset.json").write_text(json.dumps(content))


@pytest.mark.fault(
    "Dataset of another era than the analysis", "An error before any work, with the dataset, both eras and the cure."
)
def test_a_dataset_of_another_era_is_refused_before_any_work(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path)
    changed_fileset(tmp_path, top_2="2018")
    message = problems(file)
    assert "fileset.top_2: is of era '2018', and the analysis of eras 2101, 2102" in message
    assert "correct 'era' in the dataset's metadata or in the analysis, or leave the dataset out" in message
    one = toy.write(tmp_path / "one", {"data1": [tmp_path / "data1.root"]}, {"data1": "2017"})
    assert "fileset.data1: is of era '2017', and the analysis of era 'simulation'" in problems(one)
    with pytest.raises(OddjetsError, match=r"data1: is of era '2017'"):
        oddjets.processor(str(one))


@pytest.mark.fault(
    "Era without a dataset that other eras have", "An error before any work: the sum of the eras would lack it."
)
def test_an_era_that_lacks_a_process_or_the_data_is_refused(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path)
    changed_fileset(tmp_path, top_2=None)
    assert "fileset: era '2102' has no dataset of process 'top', and 2101 has" in problems(file)
    changed_fileset(tmp_path, data_2=None)
    message = problems(file)
    assert "fileset: era '2102' has no dataset of data, and 2101 has" in message
    assert "add the dataset, or leave the era out of 'era'" in message


def test_an_era_under_another_file_name_is_the_same_era(tmp_path: Path) -> None:
    """As 2016UL is 2016postVFP: datasets may state either name."""
    file = toy_eras.write(tmp_path, systematics=[], fit=None)
    (tmp_path / "corrections" / "earlier.yaml").write_text(yaml.safe_dump({"extends": int(SECOND)}))
    changed_fileset(tmp_path, top_2="earlier")
    made = toy.run_of(file)
    assert {d.metadata.era for d, _ in made.fileset.values()} == {FIRST, SECOND}


def test_runs_that_are_in_the_periods_of_two_eras_are_refused(tmp_path: Path) -> None:
    """As where an era extends another one and inherits its periods."""
    file = toy_eras.write(tmp_path)
    corrections = tmp_path / "corrections"

    def with_periods(**second: Any) -> None:
        for era, periods in ((FIRST, {"F": {"runs": [[10, 12], [15, 20]], "luminosity_pb": 1.0}}), (SECOND, second)):
            content = yaml.safe_load((corrections / f"{era}.yaml").read_text())
            (corrections / f"{era}.yaml").write_text(yaml.safe_dump({**content, "periods": periods}))

    with_periods()
    assert "era: '2101' and '2102' both have runs 10-12 and 15-20 in their periods" in problems(file)
    with_periods(F=None, G={"runs": [20, 30], "luminosity_pb": 1.0}, H={"runs": [11, 11], "luminosity_pb": 1.0})
    message = problems(file)
    assert "era: '2101' and '2102' both have runs 11 and 20 in their periods" in message
    assert "would count twice: restrict 'periods' in the file of '2101' or of '2102'" in message
    with_periods(F=None, G={"runs": [[13, 14], [21, 30]], "luminosity_pb": 1.0})
    resolve(load_analysis(file))


def test_validate_says_which_official_files_it_could_not_look_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path / "cache"))
    file = toy_eras.write(tmp_path)
    era = tmp_path / "corrections" / f"{SECOND}.yaml"
    files = {name: {"path": f"{name}.json", "sha256": "0" * 64, "source": f"https://a.b/{name}"} for name in "xy"}
    content = yaml.safe_load(era.read_text())
    era.write_text(yaml.safe_dump({**content, "files": {**content.get("files", {}), **files}}))

    def said() -> str:
        result = CliRunner().invoke(app, ["validate", str(file)])
        assert result.exit_code == 0
        return " ".join(result.output.split())

    expected = f"not checked: the files {{}} of era '{SECOND}' are not here: run `oddjets fetch {SECOND}`"
    assert "no errors" in said()
    assert expected.format("x, y") in said()
    (tmp_path / "cache" / SECOND).mkdir(parents=True)
    (tmp_path / "cache" / SECOND / "x.json").touch()
    assert expected.format("y") in said()
    (tmp_path / "cache" / SECOND / "y.json").touch()
    assert "not checked" not in said()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"luminosity": 35.0}, "luminosity: one number does not say which part is of which era"),
        ({"luminosity": {2101: 1.0}}, "luminosity: says nothing of era '2102'"),
        ({"luminosity": {2101: 1.0, 2102: 1.0, 2103: 1.0}}, "luminosity: '2103' is no era of the analysis"),
        ({"selection_by_era": {2018: {}}}, "selection_by_era: '2018' is no era of the analysis"),
        ({"selection_by_era": {2101: {"cuts": []}}}, r"selection_by_era.2101.cuts: the cuts are those of all eras"),
        (
            {"selection_by_era": {2101: {"jets": {"pt": 3}}}},
            "selection_by_era.2101.jets.pt: unknown key; did you mean 'pt_min'",
        ),
        ({"systematics": [{"name": "jms", "eras": [2018]}]}, r"systematics.0.eras: '2018' is no era of the analysis"),
        (
            {"systematics": [{"name": "jms", "correlation": {"2018": "a"}}]},
            r"systematics.0.correlation: '2018' is no era of the analysis",
        ),
        ({"systematics": ["jmr"]}, r"systematics.0: nothing says whether 'jmr' of 2101 and 2102 is the same nuisance"),
        (
            {"systematics": ["pref"]},
            r"no systematic 'pref' in era '2102'; 'eras: \[2101\]' of the systematic has it act in the others alone",
        ),
        (
            {"systematics": [{"name": "jms", "correlation": dict.fromkeys((2101, 2102), "x")}, OWN]},
            "systematics: 'jms_x' would be the nuisance parameter of 2 systematics",
        ),
        ({"jes": "sources", "systematics": []}, "jes: 'sources' says what the systematic 'jes' is"),
        ({"fit": fit_with({2101: {"a": 0.1}})}, "fit.luminosity_uncertainty: says nothing of era '2102'"),
        ({"era": [2101, 2102, "same"]}, "era: '2102' and 'same' are the same era, '2102'"),
        ({"era": [2101, 2104]}, "era: no file '2104' in corrections/"),
        ({"era": [2101, "eleven"]}, "era: eras of different energies"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = toy_eras.write(tmp_path, **changes)
    corrections = tmp_path / "corrections"
    (corrections / "same.yaml").write_text(yaml.safe_dump({"extends": int(SECOND)}))
    (corrections / "eleven.yaml").write_text(yaml.safe_dump({"extends": 2101, "name": "eleven", "energy_TeV": 13.6}))
    with pytest.raises(ConfigError, match=message):
        resolve(load_analysis(file))


def test_validate_says_what_eras_share_and_which_of_their_labels_is_of_nothing(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path, systematics=["jms", "pu"])
    second = tmp_path / "corrections" / f"{SECOND}.yaml"
    content = yaml.safe_load(second.read_text(encoding="utf-8"))
    content["correlations"]["jmss"] = "x"
    second.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", str(file)])
    said = " ".join(result.output.split())
    assert f"nuisance parameters of {FIRST}, {SECOND}: pu, lumi_both (0.006, 0.009)" in said
    assert f"nuisance parameters of {SECOND}: jms_{SECOND}, lumi_{SECOND} (0.02)" in said
    assert f"era '{SECOND}': its 'correlations' name 'jmss', which is no systematic here; did you mean 'jms'" in said


def test_a_number_for_the_luminosity_is_said_to_replace_the_parts_of_the_eras(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path, fit=fit_with(0.025))
    said = " ".join(CliRunner().invoke(app, ["validate", str(file)]).output.split())
    assert "lumi (0.025, in place of the parts in the eras' files)" in said


def test_what_several_eras_need_is_refused_for_one(tmp_path: Path) -> None:
    file = toy_eras.write(tmp_path, era=2101, luminosity={2101: 3.0}, selection_by_era={2101: {"tau21_max": 0.4}})
    changed_fileset(tmp_path, data_2=None, top_2=None)
    message = problems(file)
    assert "luminosity: the analysis has one era, '2101': give one number" in message
    assert "selection_by_era: the analysis has one era, '2101': what it asks belongs into 'selection'" in message
