"""The authors' event files: synthetic ones in exactly their layout, against a slow reference, bin by bin."""

import json
import shutil

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import InputFileError
from oddjets.core.resources import find
from oddjets.io import paper_npz
from oddjets.io.event_table import EventTable, read, write_part
from oddjets.io.histograms import HistogramSet
from oddjets.scoring.score import score_of_predictions
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

SHIFTS = {"jes": 0.03, "jer": 0.01, "jms": 0.02, "jmr": 0.015}


def make_file(folder, name, seed, events=400, model="l", is_data=False):
    """Write one file: shuffled pT order, negative weights and b tags, events that fail the trigger or have leptons."""
    rng = np.random.default_rng(seed)
    cond = np.zeros((events, 2, 52))
    pt, mass = rng.uniform(400, 900, (events, 2)), rng.uniform(50, 250, (events, 2))
    cond[..., 0], cond[..., 3] = np.log(pt), np.log(mass)
    cond[..., 1], cond[..., 2] = rng.uniform(-2.4, 2.4, (events, 2)), rng.uniform(-np.pi, np.pi, (events, 2))
    cond[..., 4] = rng.uniform(900, 1700, (events, 1))
    cond[..., 5] = rng.integers(10, 100, (events, 2))
    cond[..., 6] = rng.uniform(0.1, 0.4, (events, 2))
    cond[..., 7] = cond[..., 6] * rng.uniform(0.2, 0.8, (events, 2))
    cond[..., 8:10] = 0.05
    cond[..., 10] = rng.choice([-2.0, 0.1, 0.9], (events, 2))
    cond[..., 11:14] = rng.uniform(0, 1, (events, 2, 3))
    cond[..., 14] = rng.uniform(size=(events, 1)) < 0.9
    cond[..., 16] = rng.uniform(size=(events, 1)) < 0.1
    cond[..., 17] = rng.uniform(size=(events, 1)) < 0.1
    for i, shift in enumerate(SHIFTS.values()):
        moves_pt = i < 2
        for k, sign in enumerate((1, -1)):
            scale = 1 + sign * shift * rng.uniform(0.5, 1.5, (events, 2))
            cond[..., 18 + 4 * i + 2 * k] = pt * (scale if moves_pt else 1)
            cond[..., 19 + 4 * i + 2 * k] = mass * scale
    weight = rng.uniform(-0.2, 1.0, (events, 1))
    cond[..., 34] = weight
    cond[..., 35:51] = (weight * rng.uniform(0.8, 1.2, (events, 16)))[:, None, :]
    prediction = rng.dirichlet(np.full(20, 0.3), 2 * events)
    if is_data:
        cond[..., 18:] = 0
    file = folder / f"outputs_pretrain_{model}_{name}_dijet{seed}.npz"
    np.savez(file, prediction=prediction.astype(np.float32), cond=cond.reshape(-1, 52).astype(np.float32))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zenodo")
    for seed, name in enumerate(["jetht", "jetht", "qcd600", "top", "top", "wjets", "dihiggs", "zz"]):
        make_file(folder, name, seed, is_data=name == "jetht")
    make_file(folder, "top", 99, model="s")
    return folder


@pytest.fixture(scope="module")
def imported(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported")
    result = CliRunner().invoke(app, ["import-npz", str(folder), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    paper = load_analysis(find("paper_zenodo.yaml", "processors"))
    spec = paper.npz.model_copy(update={"folder": str(folder)})
    run = RunContext(paper.model_copy(update={"npz": spec}), out)
    # the stage alone: the import is not repeated
    run_stage(run, stage_of(run, "histogram"))
    return run


def reference_events(folder, name):
    """Read a process's events the slow way: dictionaries, one a passing event."""
    found = []
    for file in sorted(folder.glob(f"outputs_pretrain_l_{name}_dijet*.npz")):
        content = np.load(file)
        rows = list(zip(content["prediction"].astype(float), content["cond"].astype(np.float32), strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True):
            head = pair[0][1]
            if head[14] != 1 or head[16] != 0 or head[17] != 0:
                continue
            jets = []
            for p, c in pair:
                c = c.astype(np.float64)
                jet = {"tau21": c[7] / c[6], "b": max(c[10], 0.0)}
                jet["s"] = p[10:].sum() / (p[0] + p[10:].sum() + 1e-6)
                # the table holds float32
                jet["nominal"] = (np.float32(np.exp(np.float32(c[0]))), np.float32(np.exp(np.float32(c[3]))))
                for variation, column in paper_npz.JET_VARIATIONS.items():
                    jet[variation] = (np.float32(c[column]), np.float32(c[column + 1]))
                jets.append(jet)
            found.append(
                {
                    "jets": jets,
                    "rows": np.array([c for _, c in pair]),
                    "w": {"nominal": head[34], **{v: head[c] for v, c in paper_npz.WEIGHT_VARIATIONS.items()}},
                }
            )
    return found


def reference_histogram(events, variation, threshold, region, edges, scale=1.0, dijet=False):
    """Fill the histogram of the leading, or the dijet, mass of region and letter by loops, as the paper and its code do."""
    filled = {letter: np.zeros(len(edges) - 1) for letter in "ABCD"}
    for event in events:
        jets = sorted(event["jets"], key=lambda jet: -jet["nominal"][0])
        key = variation if variation in paper_npz.JET_VARIATIONS else "nominal"
        if jets[1][key][0] > jets[0][key][0]:
            jets = jets[::-1]
        if min(j[key][0] for j in jets) <= 450 or min(j[key][1] for j in jets) <= 60:
            continue
        low = all(j["tau21"] < 0.45 for j in jets)
        heavy = jets[1][key][1] > 100
        tagged = max(j["b"] for j in jets) > 0.5847
        inside = {
            "SR": low, "VR1": not low, "SR1": low and heavy, "SR2": low and not heavy,
            "SR3": low and heavy and tagged, "SR4": low and tagged,
        }[region]  # fmt: skip
        if not inside:
            continue
        first, second = (j["s"] > threshold for j in jets)
        letter = "A" if first and second else "B" if second else "C" if first else "D"
        mass = authors_dijet_mass(event["rows"], key) if dijet else jets[0][key][1]
        k = np.searchsorted(edges, mass, side="right") - 1
        if 0 <= k < len(edges) - 1:
            filled[letter][k] += scale * float(event["w"].get(variation, event["w"]["nominal"]))
    return filled


NAMES = {"data": "jetht", "qcd": "qcd600", "top": "top", "wjets": "wjets", "dihiggs": "dihiggs", "zz": "zz"}


@pytest.mark.parametrize("process", ["top", "dihiggs", "zz"])
@pytest.mark.parametrize("region", ["SR", "VR1", "SR1", "SR2", "SR3", "SR4"])
def test_histograms_are_the_authors_bin_by_bin(imported, folder, process, region):
    histograms = HistogramSet.load(imported.out / "histograms")
    edges = histograms.edges(region, "leading_mass")
    events = reference_events(folder, NAMES[process])
    scale = 1000.0 if process == "dihiggs" else 1.0
    members = {}
    for variation in ["nominal", *paper_npz.JET_VARIATIONS, *paper_npz.WEIGHT_VARIATIONS]:
        expected = reference_histogram(events, variation, histograms.threshold.value, region, edges, scale)
        members[variation] = expected
        if variation not in histograms.variations[process]:
            continue
        for letter in "ABCD":
            found = histograms.values(region, "leading_mass", process, letter, variation)
            np.testing.assert_allclose(
                found, expected[letter], rtol=1e-5, atol=1e-5 * scale, err_msg=f"{variation} {letter}"
            )
    if process == "zz":  # the authors' code: no variations on ww, wz, zz
        assert list(histograms.variations[process]) == ["nominal"]
        return
    for letter in "ABCD":
        nominal = members["nominal"][letter]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(nominal > 0, [members[f"scale{i}"][letter] / nominal for i in range(6)], 1.0)
        for direction, ratio in (("Up", ratios.max(axis=0)), ("Down", ratios.min(axis=0))):
            found = histograms.values(region, "leading_mass", process, letter, f"scale{direction}")
            np.testing.assert_allclose(found, nominal * ratio, rtol=1e-4, atol=1e-4 * scale)


def authors_dijet_mass(rows, variation):
    """The dijet mass of two rows of cond as the authors' code computes it, of pT, eta, phi and soft-drop masses."""
    px = py = pz = energy = 0.0
    for c in rows.astype(np.float64):
        column = paper_npz.JET_VARIATIONS.get(variation)
        pt, mass = (np.exp(c[0]), np.exp(c[3])) if column is None else (c[column], c[column + 1])
        px += pt * np.cos(c[2])
        py += pt * np.sin(c[2])
        pz += pt * np.sinh(c[1])
        energy += np.sqrt(mass**2 + (pt * np.cosh(c[1])) ** 2)
    return np.sqrt(max(energy**2 - (px**2 + py**2 + pz**2), 0.0))


@pytest.mark.parametrize("variation", ["nominal", *paper_npz.JET_VARIATIONS])
def test_the_dijet_mass_is_of_the_varied_soft_drop_masses(folder, tmp_path, variation):
    cond = np.load(next(folder.glob("outputs_pretrain_l_top_dijet3.npz")))["cond"]
    table = paper_npz.to_table(np.zeros(len(cond)), cond, scores={"x": "prediction"}, is_data=False, number=0)
    write_part(tmp_path / "top" / "part-000000.parquet", table, {})
    stored = EventTable(read(tmp_path, "top"), variation)
    expected = [authors_dijet_mass(pair, variation) for pair in cond.reshape(-1, 2, 52)]
    np.testing.assert_allclose(stored["mjj"], expected, rtol=2e-6)
    if variation.startswith(("jms", "jmr")):
        # no shift of pT: the masses alone move it
        assert (np.abs(stored["mjj"] / stored.under("nominal")["mjj"] - 1) > 1e-5).mean() > 0.9


def test_data_have_the_dijet_mass_of_the_authors_code_too(folder):
    cond = np.load(next(folder.glob("outputs_pretrain_l_jetht_dijet0.npz")))["cond"]
    table = paper_npz.to_table(np.zeros(len(cond)), cond, scores={"x": "prediction"}, is_data=True, number=0)
    np.testing.assert_allclose(
        table["mjj"], [authors_dijet_mass(p, "nominal") for p in cond.reshape(-1, 2, 52)], rtol=2e-6
    )


@pytest.mark.parametrize("region", ["SR", "VR1", "SR1", "SR2"])
def test_histograms_of_the_dijet_mass_are_the_authors_bin_by_bin(imported, folder, region):
    histograms = HistogramSet.load(imported.out / "histograms")
    edges = histograms.edges(region, "dijet_mass")
    events = reference_events(folder, "top")
    for variation in ["nominal", *paper_npz.JET_VARIATIONS, "puUp"]:
        expected = reference_histogram(events, variation, histograms.threshold.value, region, edges, dijet=True)
        for letter in "ABCD":
            found = histograms.values(region, "dijet_mass", "top", letter, variation)
            np.testing.assert_allclose(found, expected[letter], rtol=1e-5, atol=1e-5, err_msg=f"{variation} {letter}")


@pytest.mark.parametrize("columns", [0, 2, 20])
def test_the_stored_formula_demands_exactly_one_column(tmp_path, columns):
    with pytest.raises(InputFileError, match=f"has {columns} columns; the formula 'stored' needs exactly one"):
        score_of_predictions(np.full((4, columns), 0.5), "stored")
    np.testing.assert_array_equal(score_of_predictions(np.array([[0.25], [0.75]]), "stored"), [0.25, 0.75])


def test_a_file_of_several_columns_is_named_where_one_is_the_score(folder, tmp_path):
    (tmp_path / "a.yaml").write_text("extends: paper_zenodo.yaml\nname: a\nnpz: {formula: stored}\n")
    (tmp_path / "paper_zenodo.yaml").write_text(find("paper_zenodo.yaml", "processors").read_text())
    words = ["import-npz", str(folder), "--analysis", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, InputFileError)
    assert "_dijet" in str(error)
    assert ".npz: 'prediction' has 20 columns; the formula 'stored' needs exactly one" in str(error)


def test_the_threshold_is_the_quantile_of_data_after_the_base_selection(imported, folder):
    lower = []
    for event in reference_events(folder, "jetht"):
        jets = event["jets"]
        if min(j["nominal"][0] for j in jets) > 450 and min(j["nominal"][1] for j in jets) > 60:
            lower.append(min(j["s"] for j in jets))
    threshold = HistogramSet.load(imported.out / "histograms").threshold
    assert threshold.value == pytest.approx(np.quantile(lower, 1 - 0.002), rel=1e-9)
    assert threshold.n_data == len(lower)


def test_every_event_is_counted_once(imported, folder):
    datasets = json.loads((imported.out / "manifests" / "process.json").read_text())["extra"]["datasets"]
    assert {name: d["entries"] for name, d in datasets.items()} == {
        "data": 800, "qcd": 400, "top": 800, "wjets": 400, "dihiggs": 400, "zz": 400,
    }  # fmt: skip
    for name, d in datasets.items():
        assert d["rows"] == len(reference_events(folder, NAMES[name]))


def test_exported_is_imported_again(imported, folder):
    content = np.load(next(folder.glob("outputs_pretrain_l_top_dijet3.npz")))
    prediction, cond = content["prediction"], content["cond"]
    table = paper_npz.to_table(
        score_of_predictions(prediction, "authors-code"), cond, scores={"x": "prediction"}, is_data=False, number=0
    )
    order = np.argsort(-cond[:, 0].reshape(-1, 2), axis=1)
    classes = np.take_along_axis(prediction.reshape(len(order), 2, -1), order[:, :, None], axis=1)
    back_prediction, back = paper_npz.from_table(table, classes, 1.0)
    again = paper_npz.to_table(
        score_of_predictions(back_prediction, "authors-code"), back, scores={"x": "prediction"}, is_data=False, number=0
    )
    for name in table:
        np.testing.assert_allclose(again[name], table[name], rtol=2e-6, err_msg=name)


def test_what_a_file_cannot_hold_is_counted_by_events():
    prediction, cond = np.zeros((6, 12)), np.ones((6, 52))
    assert paper_npz.find_unstorable(prediction, cond) == []
    cond[[0, 1, 4], 3] = -np.inf
    cond[5, 20] = -1
    prediction[2] = np.nan
    assert paper_npz.find_unstorable(prediction, cond) == [
        "1 event with class probabilities that are NaN or infinite",
        "2 events with a jet's mass that is 0, negative, NaN or infinite",
        "1 event with a varied pT of 0 or below",
    ]


def rows(column, value):
    """Two jets, the second with an odd value."""
    cond = np.ones((2, 52))
    cond[1, column] = value
    return cond


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"prediction": np.zeros((2, 12))}, "no array 'cond'"),
        ({"prediction": np.zeros((2, 12)), "cond": np.zeros((2, 50))}, "shape"),
        ({"prediction": np.zeros((3, 12)), "cond": np.zeros((3, 52))}, "adjacent rows"),
        ({"prediction": np.zeros((2, 12)), "cond": np.full((2, 52), np.nan)}, "NaN"),
        ({"prediction": np.zeros((2, 12)), "cond": np.arange(104.0).reshape(2, 52)}, "not in pairs"),
        ({"prediction": np.zeros((2, 12), complex), "cond": np.zeros((2, 52))}, "'prediction' is of type complex128"),
        ({"prediction": np.zeros((2, 12), "U3"), "cond": np.zeros((2, 52))}, "'prediction' is of type <U3"),
        ({"prediction": np.zeros((2, 12)), "cond": np.zeros((2, 52), complex)}, "'cond' is of type complex128"),
        ({"prediction": np.zeros((2, 12)), "cond": rows(0, 1000)}, "row 1 of 'cond' has 1000 as logarithm of the pt"),
        ({"prediction": np.zeros((2, 12)), "cond": rows(3, 90)}, "row 1 of 'cond' has 90 as logarithm of the mass"),
        ({"prediction": np.zeros((2, 12)), "cond": rows(18, -5)}, "row 1 of 'cond' has a pT of -5 GeV under jesUp"),
        ({"prediction": np.array([{}, {}]), "cond": np.zeros((2, 52))}, "without pickles"),
    ],
)
def test_files_that_are_not_in_the_layout(tmp_path, arrays, message):
    file = tmp_path / "outputs_pretrain_l_top_dijet.npz"
    np.savez(file, **arrays)
    with pytest.raises(InputFileError, match=message):
        paper_npz.read_file(file)


def test_a_folder_without_files_names_what_is_looked_for(tmp_path):
    (tmp_path / "outputs_pretrain_s_jetht_dijet.npz").write_bytes(b"")
    result = CliRunner().invoke(app, ["import-npz", str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, InputFileError)
    assert "did you mean 'outputs_pretrain_s_jetht_dijet.npz'" in str(result.exception)


def test_the_paper_can_be_fitted_from_one_yaml(imported, tmp_path):
    data = {"extends": "paper_zenodo.yaml", "threshold": {"efficiency": 0.2}}
    (tmp_path / "paper_zenodo.yaml").write_text(find("paper_zenodo.yaml", "processors").read_text())
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    analysis = load_analysis(tmp_path / "a.yaml")
    run = RunContext(analysis.model_copy(update={"npz": imported.analysis.npz}), tmp_path / "out")
    for stage in ("process", "histogram", "workspace"):
        run_stage(run, stage_of(run, stage))
    workspace = json.loads((tmp_path / "out" / "workspace.json").read_text())
    assert len(workspace["channels"]) == 8
    assert workspace["measurements"][0]["config"]["poi"] == "mu"


def rewrite(source, target, **changes):
    """Copy a file, with other arrays."""
    with np.load(source) as content:
        np.savez(target, **{name: content[name] for name in content.files} | changes)


def import_of(imported, folder, tmp_path):
    """Import a folder into another output."""
    npz = imported.analysis.npz.model_copy(update={"folder": str(folder)})
    run = RunContext(imported.analysis.model_copy(update={"npz": npz}), tmp_path / "out")
    run_stage(run, stage_of(run, "process"))


@pytest.mark.parametrize(
    ("columns", "said"), [([34], "all weights are zero"), (list(range(18, 34, 2)), "all varied pT are zero")]
)
def test_data_that_are_called_simulation_are_named(imported, folder, tmp_path, columns, said):
    """Their events would weigh nothing, or pass no varied cut."""
    copied = shutil.copytree(folder, tmp_path / "npz")
    file = next(copied.glob("*_top_*"))
    cond = np.load(file)["cond"].copy()
    cond[:, columns] = 0
    rewrite(file, file, cond=cond)
    with pytest.raises(InputFileError, match=rf"_top_dijet.*\.npz: {said}, as in a file of data"):
        import_of(imported, copied, tmp_path)


@pytest.mark.parametrize("process", ["top", "wjets"])
def test_a_copy_of_a_file_is_named(imported, folder, tmp_path, process):
    """The files have no event numbers: the events of a copy, also under another process, would count twice."""
    copied = shutil.copytree(folder, tmp_path / "npz")
    file = next(copied.glob("*_top_*"))
    for old in copied.glob(f"*_{process}_*"):
        if old != file:
            old.unlink()
    shutil.copy(file, copied / file.name.replace("_top_dijet", f"_{process}_dijet_again"))
    with pytest.raises(InputFileError, match=r"\.npz: has the same events as outputs_pretrain_.*\.npz; keep one"):
        import_of(imported, copied, tmp_path)


@pytest.mark.parametrize("value", [-0.5, 1.5])
@pytest.mark.parametrize("column", [0, 10, 11])
def test_the_authors_formula_needs_probabilities(column, value):
    """Of logits its score would be any number, in a table without a word."""
    prediction = np.full((4, 12), 1 / 12)
    prediction[2, column] = value
    with pytest.raises(InputFileError, match=r"values from .* \(1 rows .* softmax of logits"):
        score_of_predictions(prediction, "authors-code")
    assert (score_of_predictions(prediction.clip(-1e-4, 1 + 1e-4), "authors-code") <= 1.001).all()
