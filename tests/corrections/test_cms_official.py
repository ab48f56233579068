"""The analysis of CMS Open Data, with the official corrections, on ten real simulated CMS events (conditions of 2017).

Mechanical: it shows that branches, names and corrections fit together, not that numbers of 2016 hold for these events.
"""

import json

import numpy as np
import pytest
import uproot
import yaml
from coffea.nanoevents import NanoEventsFactory

from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.core.resources import find
from oddjets.corrections import jet_energy, jet_resolution, lookups
from oddjets.io import event_table, nanoaod_schema
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext


@pytest.fixture(scope="module")
def chunk(cms_file):
    return NanoEventsFactory.from_root(
        {str(cms_file): "Events"}, schemaclass=nanoaod_schema.PFNano, mode="virtual"
    ).events()


def run_of(folder, cms_file, mass_min=0.0, **selection):
    """The shipped analysis on this file; 2017 has other trigger paths, and no pair has two masses above 60 GeV."""
    metadata = {"process": "top", "is_data": False, "era": "2016UL", "cross_section_pb": 1.0, "weights": ["w_k_factor"]}
    (folder / "fileset.json").write_text(json.dumps({"cms": {"files": [str(cms_file)], "metadata": metadata}}))
    changes = {
        "extends": "cms_2016.yaml",
        "fileset": "fileset.json",
        "luminosity": 1000.0,
        "threshold": {"efficiency": None, "value": 0.5},
        "selection": {
            "triggers": ["PFHT1050", "AK8PFJet500", "PFHT800"],
            "filters": ["goodVertices", "eeBadScFilter"],  # BadPFMuonDzFilter came with the Ultra-Legacy samples
            "jets": {"mass_min": mass_min},
        }
        | selection,
        "execution": {"executor": "iterative", "chunk_size": 10},
    }
    for name in ("cms_2016.yaml", "paper_zenodo.yaml"):
        (folder / name).write_text(find(name, "processors").read_text())
    (folder / "cms.yaml").write_text(yaml.safe_dump(changes))
    run = RunContext(load_analysis(folder / "cms.yaml"), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run


def test_the_shipped_analysis_with_official_corrections(tmp_path, cms_file, official_cache):
    run = run_of(tmp_path, cms_file)
    table = event_table.read(run.out / "events", "cms")
    assert len(table["event"]) > 0
    stored = uproot.open(cms_file)["Events"].arrays(
        [*(f"FatJet_{n}" for n in ("pt", "eta", "msoftdrop", "rawFactor", "area")), "fixedGridRhoFastjetAll", "event"]
    )
    rows = {row["event"]: row for row in stored.to_list()}
    era, folder = lookups.load_era("2016UL")
    for i, event in enumerate(table["event"]):
        row = rows[int(event)]
        for j in event_table.JETS:
            k = int(np.argmin(np.abs(np.array(row["FatJet_eta"]) - table[f"eta_{j}"][i])))
            jet = {
                "area": row["FatJet_area"][k],
                "eta": row["FatJet_eta"][k],
                "pt_raw": row["FatJet_pt"][k] * (1 - row["FatJet_rawFactor"][k]),
                "rho": row["fixedGridRhoFastjetAll"],
            }
            columns = {name: np.array([value]) for name, value in jet.items()}
            factor = lookups.lookup(era, folder, era.corrections["jec"], columns, None)[0]
            # smearing moves a jet of 1 TeV by some percent; pT and soft-drop mass by the same factor
            ratio = table[f"pt_{j}"][i] / row["FatJet_pt"][k]
            assert ratio == pytest.approx(factor * (1 - row["FatJet_rawFactor"][k]), rel=0.1)
            assert table[f"mass_{j}"][i] == pytest.approx(max(ratio * row["FatJet_msoftdrop"][k], 0.0), rel=1e-5)
            up, down = (table[f"pt_{j}__jes{d}"][i] / table[f"pt_{j}"][i] for d in ("Up", "Down"))
            assert up - 1 == pytest.approx(1 - down, abs=1e-5)
            assert 0.005 < up - 1 < 0.02
    resolution = np.abs(table["pt_1__jerUp"] / table["pt_1__jerDown"] - 1)
    assert (resolution > 0).any()
    assert (resolution < 0.02).all()
    # K factor, pileup and prefiring in the nominal weight; the file has no weights of the shower or of scales
    assert (table["weight"] > 0).all()
    for variation in ("isrUp", "fsrDown", "scale0", "scale5"):
        np.testing.assert_array_equal(table[f"weight__{variation}"], table["weight"])
    assert (table["weight__puUp"] != table["weight"]).any()
    summary = run.extra("process")["datasets"]["cms"]
    assert (
        summary["input_anomalies"]["without_isr"] == summary["input_anomalies"]["without_scale"] == len(table["event"])
    )


def test_chunks_do_not_change_the_smearing(chunk, official_cache):
    """All events at once, and in pieces in another order: the same bits."""
    era, folder = lookups.load_era("2016UL")

    def jets(rows):
        moved = jet_energy.calibrated_jets(chunk[rows], era, folder, ("jec", "jer"), is_data=False)
        return {
            int(e): (p, m)
            for e, p, m in zip(chunk.event[rows], moved.pt.to_list(), moved.msoftdrop.to_list(), strict=True)
        }

    whole = jets(np.arange(10))
    for rows in (np.array([7, 8, 9]), np.array([3]), np.array([9, 2, 0])):
        for event, moved in jets(rows).items():
            assert moved == whole[event]


def test_data_are_never_smeared_and_use_their_own_tag(chunk, official_cache):
    era, folder = lookups.load_era("2016UL")

    def pt(steps, is_data):
        return jet_energy.calibrated_jets(chunk, era, folder, steps, is_data=is_data).pt.to_list()

    assert pt(("jec", "jer"), True) == pt(("jec",), True) != pt(("jec",), False)
    assert pt(("jer",), True) == chunk.FatJet.pt.to_list()


def test_the_veto_map_as_a_cut(official_cache):
    """An event goes if either jet of the pair points where the map is not 0; a missing second jet vetoes nothing."""
    from helpers.analyses import analysis

    from oddjets.io.event_table import EventTable
    from oddjets.selection.certification import DataQuality

    era, folder = lookups.load_era("2016UL")
    eta, phi = (a.ravel() for a in np.meshgrid(np.linspace(-2.4, 2.4, 97), np.linspace(-3.1, 3.1, 89)))
    vetoed = lookups.lookup(era, folder, era.corrections["jet_veto_map"], {"eta": eta, "phi": phi}, "jetvetomap") != 0
    bad, good = np.flatnonzero(vetoed)[0], np.flatnonzero(~vetoed)[0]
    pairs = np.array([[good, good], [bad, good], [good, bad], [good, bad]])
    columns = {f"{name}_{j}": values[pairs[:, j - 1]] for name, values in (("eta", eta), ("phi", phi)) for j in (1, 2)}
    columns |= {"pt_1": np.full(4, 500.0), "pt_2": np.array([500.0, 500.0, 500.0, np.nan])}
    quality = DataQuality()
    quality.analysis, quality.era, quality.era_folder = analysis(), era, folder
    assert quality.jet_veto(EventTable(columns)).tolist() == [True, False, False, True]
    # float32 pi is beyond pi
    edge = {name: np.full(4, np.float32(np.pi)) if name.startswith("phi") else v for name, v in columns.items()}
    assert len(quality.jet_veto(EventTable(edge))) == 4


def test_another_working_point_is_refused(tmp_path, cms_file, official_cache):
    with pytest.raises(
        OddjetsError, match=r"btag_min: 0\.5 is not working point 'M' of era '2016postVFP', which is 0\.5847"
    ):
        run_of(tmp_path, cms_file, btag_min=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jet_corrections": None}, "'jer' varies the smearing"),
        ({"era": "simulation", "systematics": []}, "'jec' needs the correction 'jec'"),
        ({"selection": {"golden_json": None}}, "'certified' and 'golden_json' go together"),
        (
            {"selection": {"cuts": ["certified", "jet_veto"]}, "era": "simulation"},
            "needs the correction 'jet_veto_map'",
        ),
    ],
)
def test_what_the_era_lacks_is_said_before_any_work(tmp_path, change, message):
    for name in ("cms_2016.yaml", "paper_zenodo.yaml"):
        (tmp_path / name).write_text(find(name, "processors").read_text())
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"extends": "cms_2016.yaml", **change}))
    with pytest.raises(ConfigError, match=message):
        RunContext(load_analysis(tmp_path / "a.yaml"), tmp_path / "out")


def test_hybrid_smearing_is_the_official_one(official_cache, shared_dir):
    """Where a jet is matched, our factor is that of the POG's JERSmear; elsewhere only the random numbers differ."""
    import correctionlib

    official = correctionlib.CorrectionSet.from_file(str(shared_dir / "data/pog/JME/jer_smear.json.gz"))["JERSmear"]
    pt, gen, sigma, factor = 500.0, np.array([480.0, 530.0, 515.0]), 0.063, 1.0993
    ours = jet_resolution.hybrid_smearing(
        np.full(3, pt), gen, np.zeros(3), np.full(3, sigma), np.full(3, factor), np.zeros(3)
    )
    theirs = [official.evaluate(pt, 0.5, g, 20.0, 1, sigma, factor) for g in gen]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # unmatched: a mean of 1 and a width of sigma sqrt(s^2 - 1)
    n = 4000
    events_ = np.arange(n)
    noise = jet_resolution.standard_normal(np.ones(n), np.ones(n), events_, 1, "jer")
    mine = jet_resolution.hybrid_smearing(np.full(n, pt), np.full(n, np.nan), np.full(n, np.nan), sigma, factor, noise)
    official_ = [official.evaluate(pt, 0.5, -1.0, 20.0, int(e), sigma, factor) for e in events_]
    assert np.std(mine) == pytest.approx(np.std(official_), rel=0.05)
    assert np.mean(mine) == pytest.approx(1, abs=0.002)
