"""Histograms filled once a variation of jets are those filled anew for every variation, to the bit."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import hist
import numpy as np
import pytest
from helpers.analyses import analysis as small_analysis
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.lookups import Era
from oddjets.io import event_table
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import DATA, HistogramSet
from oddjets.selection.binned_events import Cells, add_weights, bin_events, bin_numbers
from oddjets.selection.event_weights import WeightAudit
from oddjets.selection.histogramming import make_histograms
from oddjets.selection.processor_loader import find_processor

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESSOR = '''
import numpy as np
from dijet_anomaly import DijetAnomaly

from oddjets.selection import cut


class Mine(DijetAnomaly):
    @cut
    def of_large_weight(self, table):
        """Reads what a variation of weights changes."""
        return table["weight"] >= 1

    @cut
    def by_name(self, table):
        """Knows the variation's name."""
        return np.full(table.size, table.variation in ("puUp", "jesDown")) ^ (table["mass_1"] > 120)

    @cut
    def beside_nominal(self, table):
        """Looks at the events under another variation."""
        return table.under("puUp")["weight"] > table["mass_1"] / 100

    @cut
    def up_alone(self, table):
        """Jets that pass under a variation of jets alone."""
        return table["mass_1"] > 10_000

    @cut
    def never(self, table):
        """No event."""
        return np.zeros(table.size, bool)
'''
NORMALISATION = {
    "data_g": ("data", True, 1.0),
    "data_h": ("data", True, 1.0),
    "top_a": ("top", False, 0.013),
    "wjets": ("wjets", False, 0.4),
    # a second dataset of a process, after another one
    "top_b": ("top", False, 0.029),
    "empty": ("wjets", False, 0.1),
    "odd": ("odd", False, 2.0),
}
ROWS = {"data_g": 90, "data_h": 40, "top_a": 140, "wjets": 80, "top_b": 75, "odd": 30}


def benchmark() -> ModuleType:
    """The script with the plain way, which is the reference here."""
    spec = importlib.util.spec_from_file_location("benchmark_histogram", REPOSITORY / "benchmarks" / "histogram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plain = benchmark()


def observable(expression: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"expression": expression, "label": expression, "bins": 5, "range": [low, high], **more}


OBSERVABLES = {
    "leading_mass": observable("mass_1", 60, 240, unit="GeV"),
    "dijet_mass": observable("mjj", 900, 2500),
    "asymmetry": observable("(pt_1 - pt_2) / (pt_1 + pt_2)", 0, 0.5),
    "odd_ratio": observable("log(tau2_1 - 0.05) / xbb_2", -8, 0),  # NaN and infinities
    "flag": {"expression": "mass_1 > mass_2", "label": "flag", "edges": [0, 0.5, 1]},  # booleans; 1 is at the last edge
    "count": {"expression": "n_muons", "label": "n", "edges": [0, 1, 2, 5]},
    "constant": {"expression": "1 + 1", "label": "two", "edges": [0, 2, 3]},
    "fine": {"expression": "mass_2", "label": "mass", "bins": 100, "range": [60, 240]},
}
REGIONS = {
    "SR": {"all": "tau21_low"},
    "VR1": {"cuts": ["not SR"], "binning": {"leading_mass": {"bins": 7}}},
    "SR1": {"cuts": ["SR"], "subleading": "mass_high", "binning": {"dijet_mass": {"edges": [900, 1000, 1500, 2500]}}},
    "SR2": {"cuts": ["SR"], "subleading": "not mass_high"},
    "SR4": {"cuts": ["SR"], "any": "btagged"},
    "late": {"cuts": ["up_alone"]},
    "nothing": {"cuts": ["never"]},
}
SYSTEMATICS = [
    "jes",
    {"name": "jms", "processes": ["top"]},
    "pu",
    {"name": "isr", "own_normalisation": True},
    "toppt",
    "scale",
    {"name": "pdf", "kind": "envelope", "members": 3, "processes": ["top", "wjets"]},
]
OWN_FACTORS = {"top_a": {"isrUp": 1.07, "isrDown": 0.91}, "top_b": {"isrUp": 1.01}}


def asked(**changes: Any) -> Analysis:
    plain_cuts = {"observables": OBSERVABLES, "regions": REGIONS, "systematics": SYSTEMATICS, "fit": None}
    return small_analysis(**plain_cuts | changes)


@pytest.fixture(scope="module")
def processor_class(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(PROCESSOR)
    return find_processor("mine.py:Mine", folder).load()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Event tables with NaN, equal scores, swapped jets and large jets under one variation; `top_a` in three files."""
    folder = tmp_path_factory.mktemp("events")
    analysis = asked()
    rng = np.random.default_rng(7)
    for dataset, n in ROWS.items():
        process = NORMALISATION[dataset][0]
        columns = plain.made_up(rng, n, analysis, process)
        columns |= {f"mass_1__{v}": columns[f"mass_1__{v}"] * 200 for v in ("jesDown",) if process == "top"}
        columns |= {
            name: np.where(rng.random(n) < 0.1, np.nan, columns[name]) for name in ("xbb_2", "btag_1", "mass_2")
        }
        columns["xbb_2"][:3] = 0.0
        # as many scores at the threshold as below it
        columns |= {f"score_omnilearned_{j}": np.round(columns[f"score_omnilearned_{j}"], 1) for j in JETS}
        if process == "wjets":
            # masses of their own under a variation, as in imported files
            columns |= {f"mass_ungroomed_{j}__jesUp": columns[f"mass_ungroomed_{j}"] * 1.3 for j in JETS}
        for part in range(3 if dataset == "top_a" else 1):
            rows = slice(part, None, 3) if dataset == "top_a" else slice(None)
            event_table.write_part(
                folder / dataset / f"part-{part}.parquet", {name: v[rows] for name, v in columns.items()}, {}
            )
    return folder


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_table, "stream", functools.partial(event_table.stream, rows=61))


def both(
    analysis: Analysis, processor_class: Any, tables: Path, normalisation: Any = NORMALISATION, **options: Any
) -> tuple[HistogramSet, HistogramSet]:
    """The histograms the plain way and as the stage makes them, with what they count of the weights compared."""
    processor = processor_class(analysis, Era(name="simulation"), Path(), {})
    audits = plain.PlainAudit(), WeightAudit()
    expected = plain.plain_histograms(analysis, processor, tables, normalisation, audit=audits[0], **options)
    luminosity = plain.LUMINOSITY
    made = make_histograms(analysis, processor, tables, normalisation, luminosity, 13.0, audit=audits[1], **options)
    assert json.dumps(audits[0].summary()) == json.dumps(audits[1].summary())
    return expected, made


FEW = {"observables": {name: OBSERVABLES[name] for name in ("leading_mass", "dijet_mass")}}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strict threshold": FEW | {"threshold": {"score": "omnilearned", "value": 0.3, "strict": True}},
    "blind": FEW | {"fit": {"observable": "leading_mass", "regions": ["SR"], "poi": {"process": "top"}, "blind": True}},
    "no systematics": {"systematics": []},
    "a region of large weights": FEW | {"regions": REGIONS | {"SR4": {"cuts": ["of_large_weight"]}}},
    "a base selection of large weights": FEW
    | {"selection": {"triggers": ["PFHT800"], "cuts": ["trigger", "jet_mass", "of_large_weight"]}},
    "a region by the variation's name": FEW | {"regions": REGIONS | {"SR4": {"cuts": ["SR", "not by_name"]}}},
    "a region that looks at another variation": FEW
    | {
        "regions": REGIONS | {"SR4": {"cuts": ["beside_nominal"]}},
        "threshold": {"score": "omnilearned", "value": 0.3},
    },
    "an observable of the weight": {
        "observables": FEW["observables"] | {"weighed": observable("weight * mass_1", 0, 200)}
    },
}
#: data have no other variation to look at
SIMULATION = {name: value for name, value in NORMALISATION.items() if value[0] != DATA}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("change", CHANGES)
def test_every_bit_is_that_of_the_plain_way(processor_class: Any, tables: Path, change: str) -> None:
    analysis = asked(**CHANGES[change])
    normalisation = SIMULATION if "another variation" in change else NORMALISATION
    expected, made = both(analysis, processor_class, tables, normalisation, own_factors=OWN_FACTORS)
    assert plain.differences(expected, made) == []
    # and the comparison is one of contents
    assert made.values("SR", "leading_mass", "top", "D", "puUp" if analysis.systematics else "nominal").sum() > 0
    if analysis.systematics:
        nominal, varied = (made.values("VR1", "dijet_mass", "top", "D", name) for name in ("nominal", "jesUp"))
        assert (nominal != varied).any()


@pytest.mark.usefixtures("small_pieces")
def test_the_reference_sees_a_change_of_one_bit(processor_class: Any, tables: Path) -> None:
    expected, made = both(asked(**FEW), processor_class, tables)
    view: Any = made.histograms["SR", "leading_mass"].view(flow=True)
    first = tuple(np.argwhere(view["variance"] > 0)[0])
    view["variance"][first] = np.nextafter(view["variance"][first], np.inf)
    assert plain.differences(expected, made) == ["SR.leading_mass"]


@pytest.mark.usefixtures("small_pieces")
def test_a_category_is_there_where_an_event_is(processor_class: Any, tables: Path) -> None:
    """As hist adds categories: in the order of the first event in the region, and none without one."""
    _, made = both(asked(**FEW), processor_class, tables)
    assert list(made.histograms["nothing", "leading_mass"].axes["process"]) == []
    late = made.histograms["late", "leading_mass"]
    assert list(late.axes["process"]) == ["top"]
    assert next(iter(late.axes["variation"])) == "jesDown"
    assert list(made.histograms["SR", "leading_mass"].axes["process"]) == ["data", "top", "wjets", "odd"]


def test_of_blind_data_nothing_in_a_is_filled(processor_class: Any, tables: Path) -> None:
    shown, blinded = (
        both(asked(**CHANGES[change]), processor_class, tables)[1] for change in ("no systematics", "blind")
    )
    for key, histogram in blinded.histograms.items():
        if "data" in histogram.axes["process"]:
            # with under- and overflow
            cells, all_cells = (
                h[{"process": "data", "variation": "nominal"}].view(flow=True)
                for h in (histogram, shown.histograms[key])
            )
            for field in ("value", "variance"):
                assert not cells[field][0].any()
                np.testing.assert_array_equal(cells[field][1:4], all_cells[field][1:4])
    assert shown.values("SR", "leading_mass", "data", "A").sum() > 0


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("change", ["plain", "blind"])
def test_events_that_regions_share_are_counted(processor_class: Any, tables: Path, tmp_path: Path, change: str) -> None:
    analysis = asked(**CHANGES[change])
    _, made = both(analysis, processor_class, tables)
    processor = processor_class(analysis, Era(name="simulation"), Path(), {})
    expected: Counter[tuple[str, str]] = Counter()
    for dataset in ROWS:
        table = plain.PlainTable(event_table.read(tables, dataset))
        kept = plain.plain_passing(processor, table)
        if change == "blind" and NORMALISATION[dataset][0] == DATA:
            scores = np.stack([table[f"score_omnilearned_{j}"] for j in JETS])
            kept &= (scores < made.threshold.value).any(axis=0)
        inside = {region: kept & plain.plain_region(analysis, processor, region, table) for region in REGIONS}
        for one, other in itertools.combinations(REGIONS, 2):
            expected[one, other] += int((inside[one] & inside[other]).sum())
    assert made.shared_events == +expected
    assert made.shared_events["SR", "SR1"] > 20
    assert not {("SR", "VR1"), ("SR1", "SR2")} & made.shared_events.keys()
    made.save(tmp_path)
    assert HistogramSet.load(tmp_path).shared_events == made.shared_events


ANALYSES = [file for file in sorted((REPOSITORY / "processors").glob("*.yaml")) if not file.stem.endswith("_choices")]
SHIPPED = [file for file in ANALYSES if load_analysis(file).fit is not None]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_no_shipped_fit_has_regions_that_share_events(file: Path) -> None:
    analysis = load_analysis(file)
    processor = find_processor(analysis.processor, file.parent).load()(analysis, Era(name="simulation"), Path(), {})
    columns = plain.made_up(np.random.default_rng(5), 4000, analysis, DATA)
    table = EventTable({**columns, "passes_certified": np.ones(4000, bool)})
    events = bin_events(analysis, processor, table, Cells.from_analysis(analysis))
    assert analysis.fit is not None
    assert all(events.inside[region].any() for region in analysis.fit.regions)
    assert not [pair for pair in events.shared() if {*pair} <= {*analysis.fit.regions}]


def test_a_table_without_the_column_of_a_variation_is_an_error(processor_class: Any, tables: Path) -> None:
    analysis = asked(systematics=["pref"], threshold={"score": "omnilearned", "value": 0.3})
    processor = processor_class(analysis, Era(name="simulation"), Path(), {})
    with pytest.raises(OddjetsError, match="no variation 'prefUp'"):
        make_histograms(analysis, processor, tables, NORMALISATION, 1.0, 13.0)


# ---- the arrays ------------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.sampled_from([60.0, 240.0, 61.8])


@given(
    hnp.arrays(np.float32, 20, elements=st.floats(width=32)) | hnp.arrays(np.float64, 20, elements=numbers),
    st.sampled_from([1, 5, 62, 63, 64, 200]),
)
def test_bins_are_those_of_hist(values: np.ndarray, bins: int) -> None:
    edges = np.array([60 + 180 * i / bins for i in range(bins)] + [240.0])
    axis = hist.axis.Variable(list(edges))
    for asked_values in (values, edges, np.nextafter(edges, 0)):
        np.testing.assert_array_equal(bin_numbers(asked_values, edges), axis.index(asked_values) + 1)


@pytest.fixture
def events(processor_class: Any, tables: Path) -> Any:
    analysis = asked()
    cells = Cells.from_analysis(analysis)
    table = EventTable(event_table.read(tables, "top_a"))
    processor = processor_class(analysis, Era(name="simulation"), Path(), {})
    return analysis, cells, bin_events(analysis, processor, table, cells), table


def test_sums_are_those_of_a_loop_over_events_wherever_they_are_cut(events: Any) -> None:
    _, cells, found, _ = events
    rng = np.random.default_rng(3)
    weights = rng.normal(1, 1, (len(found.rows), 3))
    expected = np.zeros((2, cells.size, 3))
    places = found.matrix.tocsc()
    for event, of_event in enumerate(weights):
        for cell in places.indices[places.indptr[event] : places.indptr[event + 1]]:
            expected[0, cell] += of_event
            expected[1, cell] += of_event**2
    for size in (len(weights), 11, 1):
        sums = np.zeros((2, cells.size, 3))
        for i in range(0, len(weights), size):
            sums = add_weights(sums, found.matrix[:, i : i + size], weights[i : i + size])
        np.testing.assert_array_equal(sums, expected)


def test_many_thresholds_and_resampled_events_use_the_same_arrays(events: Any) -> None:
    """What a study of pseudo-experiments does: other letters and other multiplicities, the same bins."""
    analysis, cells, found, table = events
    thresholds = np.array([[0.1], [0.3], [0.7]])
    letters = found.letters(thresholds)
    assert letters.shape == (3, len(found.rows))
    multiplicities = np.random.default_rng(5).poisson(1.0, (len(found.rows), 2)).astype(float)
    masses = table["mass_1"][found.rows]
    edges = np.array(analysis.binning("leading_mass", "SR"))
    for letter, threshold in zip(letters, thresholds[:, 0], strict=True):
        filled = (found.by_letter(letter) @ multiplicities).reshape(4, cells.size, 2)[
            :, cells.slices["SR", "leading_mass"]
        ]
        first, second = found.scores >= threshold
        for number, chosen in enumerate((first & second, ~first & second, first & ~second, ~first & ~second)):
            kept = chosen & found.inside["SR"]
            for toy in range(2):
                expected, _ = np.histogram(masses[kept], edges, weights=multiplicities[kept, toy])
                # NumPy's last bin has its upper edge too
                assert not (masses == edges[-1]).any()
                np.testing.assert_array_equal(filled[number, 1:-1, toy], expected)


# ---- odd tables ------------------------------------------------------------------------------------------------------------


def filled(**values: float) -> Any:
    """A change that gives columns one value in all events, of simulation alone where they are weights."""

    def change(columns: dict[str, Any], is_data: bool) -> dict[str, Any]:
        names = {
            name: value
            for asked_name, value in values.items()
            for name in columns
            if (name.startswith("weight") and not is_data if asked_name == "weight" else name == asked_name)
        }
        return columns | {
            name: np.full(len(columns[name]), value, columns[name].dtype) for name, value in names.items()
        }

    return change


ODD_TABLES = {
    "one event": ({"data_g": 1, "top_a": 1, "wjets": 1}, filled()),
    "empty tables": ({"data_g": 30, "top_a": 0, "wjets": 0, "top_b": 5}, filled()),
    "one bin": (
        {"data_g": 50, "top_a": 50},
        filled(mass_1=100, mass_2=100, mjj=1000, pt_1=600, pt_2=500, tau21_1=0.1, tau21_2=0.1),
    ),
    "weights of 0": ({"data_g": 50, "top_a": 50, "wjets": 50}, filled(weight=0.0)),
    "negative weights": ({"data_g": 50, "top_a": 50, "wjets": 50}, filled(weight=-1.0)),
    "denormal weights": ({"data_g": 50, "top_a": 50}, filled(weight=1e-320)),
    "infinite observables": ({"data_g": 50, "top_a": 50}, filled(mjj=np.inf)),
    "equal scores": ({"data_g": 50, "top_a": 50}, filled(score_omnilearned_1=0.3, score_omnilearned_2=0.3)),
    "no data": ({"top_a": 50}, filled()),
}
#: regions called as letters are
LETTERED = {"A": {"all": "tau21_low"}, "D": {"cuts": ["not A"]}, "SR": {"cuts": ["A"]}, "VR1": {"cuts": ["not A"]}}


def odd_tables(folder: Path, rows: dict[str, int], change: Any) -> Path:
    rng = np.random.default_rng(3)
    for dataset, n in rows.items():
        process, is_data, _ = NORMALISATION[dataset]
        columns = change(plain.made_up(rng, n, asked(), process), is_data)
        event_table.write_part(folder / dataset / "part-0.parquet", columns, {})
    return folder


@pytest.mark.parametrize("name", ODD_TABLES)
def test_odd_tables_give_every_bit_of_the_plain_way(processor_class: Any, tmp_path: Path, name: str) -> None:
    folder = odd_tables(tmp_path, *ODD_TABLES[name])
    for strict in (False, True):
        analysis = asked(regions=LETTERED, threshold={"score": "omnilearned", "value": 0.3, "strict": strict}, **FEW)
        expected, made = both(analysis, processor_class, folder, own_factors=OWN_FACTORS)
        assert plain.differences(expected, made) == []


@pytest.mark.parametrize("weight", [np.inf, np.nan, 1e200])
def test_weights_that_no_histogram_holds_are_an_error(processor_class: Any, tmp_path: Path, weight: float) -> None:
    folder = odd_tables(tmp_path, {"data_g": 20, "top_a": 20}, filled(weight=weight))
    analysis = asked(threshold={"score": "omnilearned", "value": 0.3}, **FEW)
    processor = processor_class(analysis, Era(name="simulation"), Path(), {})
    with pytest.raises(OddjetsError, match="dataset 'top_a': its weights make 'leading_mass' of SR infinite or NaN"):
        make_histograms(analysis, processor, folder, NORMALISATION, 1.0, 13.0)
