"""Eras: what extends another one, the official ones, and the scheme of what they share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import toy_eras
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import Analysis
from oddjets.config.systematics import Systematic
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections import lookups
from oddjets.corrections.correlations import combined_luminosity_uncertainty, undecided, with_scheme
from oddjets.corrections.lookups import Era, Period, era_yamls, load_era, unchecked_files

RUN_2 = ("2016preVFP", "2016postVFP", "2017", "2018")
YEAR = {"2016preVFP": "2016", "2016postVFP": "2016", "2017": "2017", "2018": "2018"}


def write(folder: Path, name: str, content: Any) -> None:
    (folder / "corrections").mkdir(parents=True, exist_ok=True)
    (folder / "corrections" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


# ---- extends --------------------------------------------------------------------------------------------------------------


def test_an_era_is_laid_over_the_one_that_it_extends(tmp_path: Path) -> None:
    periods = {"A": {"runs": [1, 2], "luminosity_pb": 1.0}, "B": {"runs": [3, 4], "luminosity_pb": 2.0}}
    base = {"name": "base", "energy_TeV": 13.0, "periods": periods, "correlations": {"jer": "base", "pu": "all"}}
    write(tmp_path, "base", base)
    over = {"extends": "base", "name": 7, "periods": {"A": None, "B": {"luminosity_pb": 3.0}}, "jet_mass_scale": 0.1}
    write(tmp_path, "7", over)
    write(tmp_path, "third", {"extends": 7, "correlations": {"jer": 7}})
    era, folder = load_era("7", tmp_path)
    assert folder == tmp_path / "corrections"
    assert era.name == "7"
    assert era.periods == {"B": Period(runs=(3, 4), luminosity_pb=3.0)}
    assert era.correlations == {"jer": "base", "pu": "all"}
    third, _ = load_era("third", tmp_path)
    assert (third.name, third.correlations, third.jet_mass_scale) == ("7", {"jer": "7", "pu": "all"}, 0.1)
    assert [file.name for file in era_yamls("third", tmp_path)] == ["third.yaml", "7.yaml", "base.yaml"]


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty; an era"), ("# later\n", "is empty; an era"), ("- 1\n", " an era")]
)
def test_an_era_without_a_mapping_is_said_in_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{said} is a mapping with keys such as name, files, corrections$") as caught:
        load_era("mine", tmp_path)
    assert "Era" not in str(caught.value)


def test_a_file_starts_in_the_folder_of_the_yaml_that_states_it(tmp_path: Path) -> None:
    """An era of one's own extends a shipped one, whose file lies in the package."""
    write(tmp_path, "mine", {"extends": "simulation", "name": "mine", "jet_mass_scale": 0.1})
    era, folder = load_era("mine", tmp_path)
    shipped, its_folder = load_era("simulation")
    assert folder != its_folder
    assert lookups.verified_path(era, folder, "simulation") == its_folder / "simulation.json"
    jet = {"eta": np.array([0.5]), "pt": np.array([500.0])}
    mine = lookups.lookup(era, folder, era.corrections["jes"], jet, None)
    assert mine == lookups.lookup(shipped, its_folder, shipped.corrections["jes"], jet, None)
    # no path of this machine gets into a content key
    assert era.model_dump(mode="json")["files"] == shipped.model_dump(mode="json")["files"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"periods": {"A": {"runs": [5, 1], "luminosity_pb": 1.0}}}, "the first run is behind the last one"),
        (
            {"periods": {n: {"runs": r, "luminosity_pb": 1.0} for n, r in (("A", [1, 5]), ("B", [[3, 9]]))}},
            "'A' and 'B' both have run 3: it would count twice",
        ),
        ({"jet_mass_scale": -3}, "jet_mass_scale: input should be greater than or equal to 0"),
    ],
)
def test_numbers_of_an_era_that_cannot_be_are_errors(tmp_path: Path, change: Any, message: str) -> None:
    write(tmp_path, "mine", {"name": "mine"} | change)
    with pytest.raises(ConfigError, match=message):
        load_era("mine", tmp_path)


@pytest.mark.fault("Era that extends itself, or one that does not exist", "An error with the file.")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": {"extends": "a"}}, r"a\.yaml: extends: it extends itself"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, r"a\.yaml: extends: it extends itself"),
        ({"a": {"extends": "2016postVPF"}}, r"a\.yaml: extends: no file '2016postVPF\.yaml' .*2016postVFP\.yaml"),
        ({"a": {"extends": "../b"}}, r"a\.yaml: extends: must be the name of a file beside this one"),
        ({"a": {"extends": "b"}, "b": ["x"]}, r"b\.yaml: an era is a mapping with keys such as name, files"),
        ({"a": {"extends": "simulation", "names": "x"}}, r"names: unknown key; did you mean 'name'"),
    ],
)
def test_mistakes_in_extends(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    for name, era in content.items():
        write(tmp_path, name, era)
    with pytest.raises(ConfigError, match=message):
        load_era("a", tmp_path)


# ---- periods --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_period(tmp_path: Path) -> tuple[Era, Path]:
    one, two = (toy_eras.correction(name, {"eta": "real"}, value) for name, value in (("early", 1.5), ("late", 2.5)))
    sha256 = toy_eras.write_corrections(tmp_path / "corrections" / "c.json", one, two)
    spec = {"file": "c", "key": {"A": "early", "B": "late"}, "inputs": {"eta": "eta"}}
    periods = {
        "A": {"runs": [[1, 3], [5, 5]], "luminosity_pb": 1.0},
        "B": {"runs": [6, 9], "luminosity_pb": 1.0},
    }
    files = {"c": {"path": "c.json", "sha256": sha256, "source": "a test"}}
    content = {"name": "runs", "files": files, "corrections": {"jec_data": spec}, "periods": periods}
    write(tmp_path, "runs", content)
    return load_era("runs", tmp_path)


def test_a_correction_can_be_that_of_the_runs_period(by_period: tuple[Era, Path]) -> None:
    era, folder = by_period
    columns = {"run": np.array([7, 1, 5, 3, 9]), "eta": np.zeros(5)}
    found = lookups.lookup(era, folder, era.corrections["jec_data"], columns, None)
    assert found.tolist() == [2.5, 1.5, 1.5, 1.5, 2.5]


@pytest.mark.fault(
    "Data with a run outside of the era's periods", "An error with the run, where corrections depend on it."
)
def test_a_run_of_no_period_is_refused(by_period: tuple[Era, Path]) -> None:
    era, folder = by_period
    with pytest.raises(OddjetsError, match=r"era 'runs': run 4 is in none of its periods \(A, B\)"):
        lookups.lookup(era, folder, era.corrections["jec_data"], {"run": np.array([6, 4]), "eta": np.zeros(2)}, None)


def test_a_correction_by_period_has_all_of_them(tmp_path: Path, by_period: tuple[Era, Path]) -> None:
    write(tmp_path, "less", {"extends": "runs", "corrections": {"jec_data": {"key": {"B": None}}}})
    with pytest.raises(ConfigError, match=r"corrections.jec_data.key: is given for A, and the era's periods are A, B"):
        load_era("less", tmp_path)


# ---- files that nobody checked --------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "Correction file without a known sha256", "Takes it, and says 'not checked' at download, in manifest and report."
)
def test_an_unchecked_file_is_taken_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    source = "https://example.org/c.json"
    files = {"c": {"path": "c.json", "sha256": "unchecked", "source": source}}
    write(tmp_path, "mine", {"name": "mine", "files": files})
    era, folder = load_era("mine", tmp_path)
    assert unchecked_files(era, folder) == {}
    with pytest.raises(InputFileError, match="`oddjets fetch mine` downloads it"):
        lookups.verified_path(era, folder, "c")
    sha256 = toy_eras.write_corrections(tmp_path / "cache" / "mine" / "c.json", toy_eras.correction("one", {}, 1.0))
    assert unchecked_files(era, folder) == {"c": sha256}
    assert lookups.verified_path(era, folder, "c").is_file()
    result = CliRunner().invoke(app, ["fetch", "mine"])
    assert result.exit_code == 0, result.exception
    said = " ".join(result.output.split())
    assert "c: not checked: era 'mine' knows no sha256 of this file" in said
    assert sha256 in said.replace(" ", "")


def test_no_file_is_unchecked_by_leaving_the_sha256_out(tmp_path: Path) -> None:
    write(tmp_path, "mine", {"name": "mine", "files": {"c": {"path": "c.json", "source": "here"}}})
    with pytest.raises(ConfigError, match=r"files.c.sha256: field required"):
        load_era("mine", tmp_path)


# ---- the official eras ----------------------------------------------------------------------------------------------------


def test_the_earlier_name_is_the_same_era() -> None:
    assert load_era("2016UL")[0] == load_era("2016postVFP")[0]
    assert load_era("2016UL")[0].name == "2016postVFP"


@pytest.mark.parametrize(
    ("era", "jec", "jer", "veto", "pileup"),
    [
        ("2016preVFP", "Summer19UL16APV_V7", "Summer20UL16APV_JRV3", "Summer19UL16_V1", "16"),
        ("2016postVFP", "Summer19UL16_V7", "Summer20UL16_JRV3", "Summer19UL16_V1", "16"),
        ("2017", "Summer19UL17_V5", "Summer19UL17_JRV3", "Summer19UL17_V1", "17"),
        ("2018", "Summer19UL18_V5", "Summer19UL18_JRV2", "Summer19UL18_V1", "18"),
    ],
)
def test_the_keys_are_those_of_the_campaign(era: str, jec: str, jer: str, veto: str, pileup: str) -> None:
    found, _ = load_era(era)
    specs = found.corrections
    for name, key in (("jec", f"{jec}_MC_L1L2L3Res"), ("jes", f"{jec}_MC_Total")):
        assert specs[name].key == f"{key}_AK8PFPuppi"
    assert specs["jer_resolution"].key == f"{jer}_MC_PtResolution_AK8PFPuppi"
    assert specs["jer_scale_factor"].key == f"{jer}_MC_ScaleFactor_AK8PFPuppi"
    assert specs["jet_veto_map"].key == veto
    assert specs["pu"].key == f"Collisions{pileup}_UltraLegacy_goldenJSON"
    assert found.jes_sources is not None
    year = YEAR[era]
    shared = ["Absolute", "BBEC1", "EC2", "FlavorQCD", "HF", "RelativeBal"]
    own = [f"{name}_{year}" for name in ("Absolute", "BBEC1", "EC2", "HF", "RelativeSample")]
    assert sorted(found.jes_sources.names) == sorted([*shared, *own])
    assert found.jes_sources.systematics["jesHF"].key == f"{jec}_MC_Regrouped_HF_AK8PFPuppi"
    folder = f"{era}_UL"
    for name, file in found.files.items():
        if name != "jer_smear" and name != "golden":
            assert f"/POG/{file.path.split('/')[0]}/{folder}/" in file.source
    assert found.files["golden"].path == found.files["golden"].source.rsplit("/", 1)[1]


def test_data_have_the_energy_corrections_of_their_period() -> None:
    preVFP, later = load_era("2016preVFP")[0], load_era("2017")[0]
    key = preVFP.corrections["jec_data"].key
    assert isinstance(key, dict)
    assert [key[period].split("_")[1] for period in "BCDEF"] == ["RunBCD"] * 3 + ["RunEF"] * 2
    assert later.corrections["jec_data"].key == {
        p: f"Summer19UL17_Run{p}_V5_DATA_L1L2L3Res_AK8PFPuppi" for p in "BCDEF"
    }
    assert "pref" in later.corrections
    assert "pref" not in load_era("2018")[0].corrections


def test_the_halves_of_2016_share_no_run() -> None:
    runs = np.arange(270000, 285000)
    halves = [
        np.any([period.has(runs) for period in load_era(era)[0].periods.values()], axis=0)
        for era in ("2016preVFP", "2016postVFP")
    ]
    assert not (halves[0] & halves[1]).any()
    assert halves[0][runs == 278770].all()
    assert halves[1][(runs == 278769) | (runs == 278801)].all()


def test_every_certified_run_of_2016_is_in_one_of_its_halves(shared_dir: Path) -> None:
    golden = shared_dir / "data" / "pog" / "Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt"
    if not golden.is_file():
        pytest.skip("needs the official corrections in shared/data/pog")
    runs = np.array([int(run) for run in yaml.safe_load(golden.read_text())])
    counts = sum(
        period.has(runs).astype(int)
        for era in ("2016preVFP", "2016postVFP")
        for period in load_era(era)[0].periods.values()
    )
    assert (counts == 1).all()


def test_the_official_file_has_all_sources_and_they_add_up(official_cache: Path) -> None:
    """The regrouped sources of 2016: their quadratic sum is the file's own total of them, and the total of all sources."""
    import correctionlib

    era, folder = load_era("2016postVFP")
    assert era.jes_sources is not None
    eta, pt = (a.ravel() for a in np.meshgrid([-2.3, -1.0, 0.5, 1.9], [200.0, 450.0, 1000.0, 2000.0]))
    columns = {"eta": eta, "pt": pt}
    sources = [lookups.lookup(era, folder, spec, columns, None) for spec in era.jes_sources.systematics.values()]
    assert len(sources) == 11
    total = np.sqrt(np.sum(np.square(sources), axis=0))
    file = correctionlib.CorrectionSet.from_file(str(lookups.verified_path(era, folder, "jerc")))
    regrouped = file["Summer19UL16_V7_MC_Regrouped_Total_AK8PFPuppi"].evaluate(eta, pt)
    np.testing.assert_allclose(total, regrouped, rtol=0.02)
    np.testing.assert_allclose(total, lookups.lookup(era, folder, era.corrections["jes"], columns, None), rtol=0.02)


def test_an_era_of_ones_own_does_not_share_the_resolution_of_the_one_that_it_extends(tmp_path: Path) -> None:
    write(tmp_path, "mine", {"extends": "2018", "name": "mine"})
    eras = {era: load_era(era, tmp_path)[0] for era in ("2018", "mine")}
    assert labels("jer", eras) == {"2018": "2018", "mine": "mine"}
    assert labels("jes", eras) == {"2018": "all", "mine": "all"}


# ---- luminosities and correlations ----------------------------------------------------------------------------------------


def test_luminosities_are_the_recommended_ones() -> None:
    """In /fb, as the LUM POG quotes them."""
    found = {era: sum(p.luminosity_pb for p in load_era(era)[0].periods.values()) / 1000 for era in RUN_2}
    assert {era: round(value, 2) for era, value in found.items()} == {
        "2016preVFP": 19.52,
        "2016postVFP": 16.81,
        "2017": 41.48,
        "2018": 59.83,
    }


@pytest.mark.parametrize(
    ("eras", "percent"),
    [
        (("2016preVFP", "2016postVFP"), 1.2),
        (("2017",), 2.3),
        (("2018",), 2.5),
        (RUN_2, 1.6),
    ],
)
def test_the_parts_add_up_to_the_published_uncertainties(eras: tuple[str, ...], percent: float) -> None:
    """LUM POG: 1.2, 2.3, 2.5 % for the years, and 1.6 % for all of Run 2."""
    loaded = {era: load_era(era)[0] for era in eras}
    luminosities = {name: sum(p.luminosity_pb for p in era.periods.values()) for name, era in loaded.items()}
    parts = {name: era.luminosity_uncertainties for name, era in loaded.items()}
    assert round(100 * combined_luminosity_uncertainty(luminosities, parts), 1) == percent


def test_the_combination_is_that_of_a_covariance_matrix() -> None:
    """Against the error of a sum of correlated numbers, by matrices."""
    eras = {era: load_era(era)[0] for era in RUN_2}
    luminosities = {name: sum(p.luminosity_pb for p in era.periods.values()) for name, era in eras.items()}
    parts = {name: dict(era.luminosity_uncertainties) for name, era in eras.items()}
    labels = sorted({label for of_era in parts.values() for label in of_era})
    assert labels == ["1718", "2016", "2017", "2018", "correlated"]
    jacobian = np.array([[luminosities[era] * parts[era].get(label, 0.0) for label in labels] for era in RUN_2])
    error = np.sqrt((jacobian @ jacobian.T).sum()) / sum(luminosities.values())
    assert combined_luminosity_uncertainty(luminosities, parts) == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("name", ["jes", "jer", "jms", "jmr", "pu", "isr", "fsr", "scale", "toppt"])
def test_every_usual_systematic_has_a_label_in_every_official_era(name: str) -> None:
    assert undecided(Systematic(name=name), {era: load_era(era)[0] for era in RUN_2}) == []


def labels(systematic: str, eras: dict[str, Era]) -> Any:
    """Return era to label, as an analysis of these eras gets them."""
    analysis = Analysis.model_construct(systematics=(Systematic(name=systematic),), fit=None)
    return with_scheme(analysis, eras).systematics[0].correlation


def test_the_resolution_is_one_parameter_an_era_and_pileup_one_for_all() -> None:
    eras = {era: load_era(era)[0] for era in RUN_2}
    assert labels("jer", eras) == {era: era for era in RUN_2}
    assert labels("pu", eras) == dict.fromkeys(RUN_2, "all")
    assert [eras[era].correlations["pref"] for era in RUN_2[:3]] == ["2016", "2016", "2017"]


def test_checksums_are_the_only_thing_that_is_not_known() -> None:
    """The eras whose files could not be had: everything of theirs is unchecked, and nothing of 2016postVFP is."""
    for name in RUN_2:
        era, _ = load_era(name)
        unknown = {file for file, spec in era.files.items() if not spec.checked}
        shared = {"jer_smear"} | ({"golden"} if YEAR[name] == "2016" else set())
        assert unknown == (set() if name == "2016postVFP" else set(era.files) - shared)
    known = load_era("2016postVFP")[0].files["jerc"].sha256
    assert len(bytes.fromhex(known)) == hashlib.sha256().digest_size
