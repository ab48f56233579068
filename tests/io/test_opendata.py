"""The catalogue of the portal's samples, and filesets from the portal's file indices."""

import csv
import json
import re

import pytest
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError
from oddjets.corrections import lookups
from oddjets.io import opendata
from oddjets.io.fileset import load_fileset


@pytest.fixture(scope="module")
def samples():
    return opendata.load_catalogue("2016UL")


def index(folder, name, n=2):
    entries = [
        {"checksum": "adler32:0", "size": 1, "uri": f"root://eospublic.cern.ch//eos/opendata/cms/{name}/{i}.root"}
        for i in range(n)
    ]
    file = folder / f"{name}_file_index.json"
    file.write_text(json.dumps(entries))
    return file


def test_every_simulated_sample_has_a_cross_section_and_its_source(samples):
    for name, sample in samples.samples.items():
        assert sample.is_data == (sample.process == "data"), name
        if not sample.is_data:
            assert sample.cross_section_pb, name
            assert sample.cross_section_source, name


def test_records_and_cross_sections_are_those_of_the_list(samples, shared_dir):
    with (shared_dir / "data" / "opendata" / "samples_2016UL_postVFP.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    by_dataset = {s.dataset: s for s in samples.samples.values() if not s.is_data}
    assert len(by_dataset) == len(rows)
    for row in rows:
        sample = by_dataset[row["sample"]]
        assert sample.records == {"miniaod": int(row["miniaod_recid"]), "nanoaod": int(row["nanoaod_recid"])}
        assert sample.cross_section_pb == float(row["xsec_pb"])


def test_named_weights_are_known_to_the_era(samples):
    era, _ = lookups.load_era(samples.era)
    weights = {w for s in samples.samples.values() for w in s.weights}
    assert weights == {"w_k_factor", "z_k_factor"}
    assert weights <= set(era.corrections)


def test_a_record_says_what_it_needs(samples):
    text = "\n".join(opendata.describe_sample(samples, opendata.find_sample(samples, "67840")))
    assert "top_hadronic" in text
    assert "docs/pfnano.md" in text
    assert "same events as in: top_mtt700to1000" in text
    with pytest.raises(OddjetsError, match="did you mean 'top_hadronic'"):
        opendata.find_sample(samples, "top_hadronik")


def test_a_fileset_from_the_portals_indices(tmp_path):
    out = tmp_path / "fileset.json"
    words = [f"{name}={index(tmp_path, name)}" for name in ("31308", "top_hadronic", "wjets_ht400to600")]
    result = CliRunner().invoke(app, ["fileset", *words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    loaded = load_fileset(out)
    assert list(loaded) == ["jetht_g", "top_hadronic", "wjets_ht400to600"]
    assert len(loaded["jetht_g"].files) == 2
    assert loaded["jetht_g"].metadata.is_data
    assert loaded["wjets_ht400to600"].metadata.weights == ("w_k_factor",)


def fileset(tmp_path, *words):
    return CliRunner().invoke(app, ["fileset", *words, "--out", str(tmp_path / "fileset.json")])


def test_samples_of_ones_own_are_taken(tmp_path):
    one, other = index(tmp_path, "one"), index(tmp_path, "other")
    said = ["--process", "mine=top", "--cross-section", "mine=832.5", "--data", "run", "--luminosity", "run=12.5"]
    result = fileset(tmp_path, f"mine={one}", f"run={other}", *said, "--era", "2018")
    assert result.exit_code == 0, result.exception
    loaded = load_fileset(tmp_path / "fileset.json")
    mine, run = loaded["mine"].metadata, loaded["run"].metadata
    assert (mine.process, mine.cross_section_pb, mine.is_data, mine.era) == ("top", 832.5, False, "2018")
    assert (run.process, run.luminosity_pb, run.is_data, run.era) == ("data", 12.5, True, "2018")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "has no sample or record 'mine'.*say --process mine=PROCESS and --cross-section mine=PB, or --data mine"),
        (["--process", "mine=top"], "so say --cross-section mine=PB too, or --data mine"),
        (["--cross-section", "mine=1"], "so say --process mine=PROCESS too"),
        (
            ["--cross-section", "mine=x", "--process", "mine=top"],
            "--cross-section: mine=x: must be a number above zero",
        ),
        (["--cross-section", "mine=0", "--process", "mine=top"], "mine=0: must be a number above zero"),
        (["--cross-section", "mine=inf", "--process", "mine=top"], "mine=inf: must be a number"),
        (["--data", "mine", "--cross-section", "mine=1"], "--cross-section: 'mine' is data"),
        (["--luminosity", "mine=1", "--process", "mine=top"], "--luminosity: 'mine' is simulation"),
        (["--data", "mien"], "--data: no sample 'mien' is given; did you mean 'mine'"),
        (["--process", "top"], "--process: 'top' is not of the form SAMPLE=VALUE"),
        (["--process", "mine=a", "--process", "mine=b"], "--process: 'mine' is given twice"),
    ],
)
def test_what_is_not_known_of_a_sample_is_asked_for(tmp_path, words, said):
    result = fileset(tmp_path, f"mine={index(tmp_path, 'mine')}", *words)
    assert isinstance(result.exception, OddjetsError)
    assert re.search(said, str(result.exception))
    assert not (tmp_path / "fileset.json").exists()


def test_what_the_catalogue_says_is_not_said_again(tmp_path):
    result = fileset(tmp_path, f"jetht_g={index(tmp_path, 'x')}", "--data", "jetht_g")
    assert "--data: catalogue '2016postVFP' has 'jetht_g'" in str(result.exception).replace("2016UL", "2016postVFP")


def test_comments_in_a_list_of_files_are_no_files(tmp_path):
    (tmp_path / "list.txt").write_text("# of May\na.root\n\n  # not b.root\nc.root\n")
    assert opendata.read_index(tmp_path / "list.txt") == ["a.root", "c.root"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine={}/bytes.txt", "--data", "mine"], "bytes.txt: is no text"),
        (["={}/list.txt"], "is not of the form SAMPLE=INDEX.json"),
        (["mine="], "'mine=' is not of the form SAMPLE=INDEX.json"),
        (["mine={}/list.txt", "--process", "mine=data", "--cross-section", "mine=1"], "of data say --data mine alone"),
        (["mine={}/list.txt", "--data", "mine", "--out", "{}/none/f.json"], "none: no such folder; make it first"),
    ],
)
def test_what_makes_no_fileset_is_said(tmp_path, words, said):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00root")
    (tmp_path / "list.txt").write_text("a.root\n")
    result = CliRunner().invoke(app, ["fileset", *(word.format(tmp_path) for word in words)])
    assert isinstance(result.exception, OddjetsError)
    assert said in str(result.exception)


def test_a_folder_in_place_of_the_fileset_is_said(tmp_path):
    words = ["fileset", f"jetht_g={index(tmp_path, 'x')}", "--out", str(tmp_path)]
    assert "is a folder; give a file, such as" in str(CliRunner().invoke(app, words).exception)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '[{"url": "x"}]', '[{"uri": "root://a"}, {"uri": "root://a"}]', "no", "[1]"]
)
def test_other_indices_are_refused(tmp_path, text):
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(OddjetsError, match=r"i\.json"):
        opendata.read_index(tmp_path / "i.json")


def test_samples_with_the_same_events_are_refused_unless_stitched(tmp_path, samples):
    names = ("top_hadronic", "top_semileptonic", "top_mtt700to1000", "ww_4q", "ww_1l1nu2q")
    fileset = opendata.make_fileset(samples, {name: [index(tmp_path, name)] for name in names})
    file = tmp_path / "fileset.json"
    file.write_text(json.dumps(fileset))
    # decays are disjoint among themselves, and so are the exclusive WW samples
    with pytest.raises(OddjetsError, match=r"1 error[^$]*top_hadronic: overlaps with top_mtt700to1000"):
        load_fileset(file)
    for name in names[:3]:
        fileset[name]["metadata"]["generator_cut"] = "LHE_mtt < 700" if "mtt" not in name else "LHE_mtt >= 700"
    file.write_text(json.dumps(fileset))
    assert len(load_fileset(file)) == 5


def test_fetch_lists_files_samples_and_single_records():
    listed = CliRunner().invoke(app, ["fetch", "--list"])
    assert listed.exit_code == 0
    one = CliRunner().invoke(app, ["fetch", "--list", "31308"])
    assert one.exit_code == 0
    unknown = CliRunner().invoke(app, ["fetch", "--list", "99999"])
    assert "no sample or record '99999'" in str(unknown.exception)


@pytest.mark.parametrize("words", [["jerk"], ["2016UL", "jerk"]])
def test_fetch_names_the_nearest_file(words):
    assert "no official file 'jerk'; did you mean 'jerc'" in str(CliRunner().invoke(app, ["fetch", *words]).exception)
