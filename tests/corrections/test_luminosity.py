"""Certified sections and their luminosity: whole periods, parts, tables, another year."""

import json
import re

import numpy as np
import pytest
import uproot
from helpers.analyses import analysis
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections import luminosity
from oddjets.corrections.lookups import Era, Period
from oddjets.corrections.sections import in_intervals, intervals_of, read_sections, sections_of
from oddjets.io.fileset import Dataset, DatasetMetadata, FileInfo

GOLDEN = {"100": [[1, 10], [21, 30]], "200": [[5, 14]]}
PERIODS = {"X": Period(runs=(100, 150), luminosity_pb=40.0), "Y": Period(runs=(151, 250), luminosity_pb=5.0)}


@pytest.fixture
def golden(tmp_path):
    file = tmp_path / "golden.json"
    file.write_text(json.dumps(GOLDEN))
    return read_sections(file)


def every_section(intervals, first_run):
    """All sections from a run on, one by one."""
    later = intervals.first >= first_run << 32
    return np.concatenate(
        [np.arange(a, b + 1) for a, b in zip(intervals.first[later], intervals.last[later], strict=True)]
    )


def sections(run, first, last):
    numbers = np.arange(first, last + 1)
    return sections_of(np.full(len(numbers), run), numbers)


@given(st.lists(st.tuples(st.sampled_from([99, 100, 200]), st.integers(0, 40)), max_size=30))
def test_a_section_is_certified_if_it_lies_in_a_range(pairs):
    certified = intervals_of((int(r), a, b) for r, spans in GOLDEN.items() for a, b in spans)
    run, section = (np.array([p[i] for p in pairs], dtype=np.uint32) for i in (0, 1))
    expected = [any(a <= s <= b for a, b in GOLDEN.get(str(r), [])) for r, s in pairs]
    assert in_intervals(certified, run, section).tolist() == expected


def test_a_whole_period_has_its_luminosity(golden):
    found = luminosity.luminosity_of([sections(100, 1, 40)], golden, PERIODS)
    assert (found.luminosity_pb, found.approximate, found.sections) == (40.0, False, 20)


def test_a_part_is_approximate_and_sections_count_once(golden):
    parts = [sections(100, 1, 10), sections(100, 6, 15), sections(200, 5, 5)]
    found = luminosity.luminosity_of(parts, golden, PERIODS)
    assert found.approximate
    assert found.luminosity_pb == pytest.approx(40.0 * 10 / 20 + 5.0 * 1 / 10)


def test_the_golden_json_of_another_year_is_refused(golden):
    with pytest.raises(OddjetsError, match="runs 100 to 200: is it for another year"):
        luminosity.luminosity_of([sections(300, 1, 3)], golden, PERIODS)


def test_nothing_certified_is_an_error_not_a_luminosity_of_zero(golden):
    with pytest.raises(OddjetsError, match="no certified luminosity section was read"):
        luminosity.luminosity_of([sections(100, 11, 20)], golden, PERIODS)


def test_runs_outside_all_periods_are_refused(golden):
    with pytest.raises(OddjetsError, match=r"no period of the era \(X \(100-150\)\)"):
        luminosity.luminosity_of([sections(200, 5, 6)], golden, {"X": PERIODS["X"]})


TABLE = """#Data tag : v1 , Norm tag: onlineresult
#run:fill,ls,time,beamstatus,E(GeV),delivered(/ub),recorded(/ub),avgpu,source
100:4000,1:1,01/01/16 00:00:00,STABLE BEAMS,6500,2000000.0,1500000.0,20.0,PXL
100:4000,2:2,01/01/16 00:00:23,STABLE BEAMS,6500,2000000.0,500000.0,20.0,PXL
100:4000,11:11,01/01/16 00:00:46,STABLE BEAMS,6500,2000000.0,9000000.0,20.0,PXL
#Summary:
#nfill,nrun,nls,ncms,totdelivered(/ub),totrecorded(/ub)
#1,1,3,3,6000000.0,11000000.0
"""


def test_a_table_gives_the_sum_over_certified_sections(tmp_path, golden):
    (tmp_path / "lumi.csv").write_text(TABLE)
    table = luminosity.read_luminosity_table(tmp_path / "lumi.csv")
    # 11 is in the table and not certified; 15e5 + 5e5 /ub = 2 /pb
    read = [sections_of([100, 100, 100], [1, 2, 11])]
    found = luminosity.luminosity_of(read, golden, PERIODS, table)
    assert (found.luminosity_pb, found.approximate, found.sections) == (pytest.approx(2.0), False, 2)
    with pytest.raises(OddjetsError, match="no section 3 of run 100"):
        luminosity.luminosity_of([sections(100, 1, 3)], golden, PERIODS, table)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "#run:fill,ls,recorded(/kg)\n1:1,1:1,3\n"])
def test_other_tables_are_refused(tmp_path, text):
    (tmp_path / "lumi.csv").write_text(text)
    with pytest.raises(InputFileError, match="brilcalc"):
        luminosity.read_luminosity_table(tmp_path / "lumi.csv")


def table(folder, *rows, text=TABLE):
    (folder / "lumi.csv").write_text(text + "".join(f"{row}\n" for row in rows))
    return luminosity.read_luminosity_table(folder / "lumi.csv")


HEADER = "#run:fill,ls,time,beamstatus,E(GeV),delivered(/pb),recorded(/pb),avgpu,source"
ROW = "100:4000,{0}:{0},01/01/16 00:00:00,STABLE BEAMS,6500,2.0,{1},20.0,PXL"


def test_a_section_that_is_listed_twice_counts_once(tmp_path, golden, capfd):
    """Two calls of brilcalc that overlap, one after the other, each with its header and its unit."""
    keys, recorded = table(tmp_path, HEADER, ROW.format(2, 0.5), ROW.format(3, 0.25), ROW.format(3, 0.25))
    assert (keys % 2**32).tolist() == [1, 2, 3, 11]
    assert recorded.tolist() == pytest.approx([1.5, 0.5, 0.25, 9.0])
    assert "lumi.csv: 2 row(s) repeat a section with the same luminosity; each counts once" in capfd.readouterr().err
    found = luminosity.luminosity_of([sections(100, 1, 3)], golden, PERIODS, (keys, recorded))
    assert found.luminosity_pb == pytest.approx(2.25)


def test_a_section_of_two_luminosities_is_refused(tmp_path):
    with pytest.raises(
        InputFileError, match=r"section 2 of run 100 has 0.5 /pb in one row and 0.51 /pb in another \(line"
    ):
        table(tmp_path, HEADER, ROW.format(2, 0.51))


def test_one_luminosity_in_two_units_is_the_same(tmp_path):
    """123457.7 /ub times 1e-6 and 0.1234577 /pb differ in the last bit."""
    text = "\ufeff" + HEADER.replace("/pb", "/ub") + "\n" + ROW.format(3, 123457.7) + "\n"
    assert 123457.7 * 1e-6 != 0.1234577
    _, recorded = table(tmp_path, HEADER, ROW.format(3, 0.1234577), text=text)
    assert recorded.tolist() == pytest.approx([0.1234577])
    with pytest.raises(InputFileError, match=r"has 0\.1234577 /pb in one row and 0\.12345771 /pb in another"):
        table(tmp_path, HEADER, ROW.format(3, 0.12345771), text=text)


def test_data_of_no_luminosity_are_refused(tmp_path, golden):
    rows = [ROW.format(i, 0.0) for i in (1, 2)]
    nothing = table(tmp_path, HEADER, *rows, text="")
    with pytest.raises(OddjetsError, match="dataset 'the data': the luminosity table has 0 for all of the 2 certified"):
        luminosity.luminosity_of([sections(100, 1, 2)], golden, PERIODS, nothing)
    # a section of a pause is nothing odd
    some = table(tmp_path, HEADER, *rows, ROW.format(3, 0.5), text="")
    assert luminosity.luminosity_of([sections(100, 1, 3)], golden, PERIODS, some).luminosity_pb == pytest.approx(0.5)


def test_a_list_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "golden.json").write_text('\ufeff{"7": [[1, 3]]}', encoding="utf-8")
    assert read_sections(tmp_path / "golden.json").count(np.array([True])) == 3


@pytest.mark.parametrize("key", ["0_1", " 1", "+1", "1.0", ""])
def test_a_run_is_digits_alone(tmp_path, key):
    (tmp_path / "golden.json").write_text(json.dumps({key: [[1, 3]]}))
    with pytest.raises(InputFileError, match=rf"'{re.escape(key)}' is not a run number"):
        read_sections(tmp_path / "golden.json")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.format(3, "nan"), "line 10: section 3 of run 100 has the luminosity nan"),
        (ROW.format(3, "inf"), "has the luminosity inf"),
        (ROW.format(3, "-0.5"), "has the luminosity -0.5"),
        (ROW.format(3, ""), "could not convert string to float"),
        (ROW.format(-3, 0.5), "there is no section -3 of a run 100"),
        (ROW.format(2**32, 0.5), "there is no section 4294967296 of a run 100"),
        (ROW.replace("100:", "2147483648:").format(3, 0.5), "of a run 2147483648"),
        ("100:4000,3:3,0.5", "line 10: 3 columns instead of 9"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path, row, message):
    with pytest.raises(InputFileError, match=rf"lumi\.csv: .*{message}"):
        table(tmp_path, HEADER, row)


def test_a_run_certified_to_no_end_needs_a_table(tmp_path):
    """Of four billion certified sections, those read are no part that says anything."""
    open_ended_run = intervals_of([(100, 1, 2**32 - 1), (200, 1, 10)])
    with pytest.raises(OddjetsError, match=r"run 100 has no last certified section.*give a 'luminosity_table'"):
        luminosity.luminosity_of([sections(100, 1, 2)], open_ended_run, PERIODS)
    assert luminosity.luminosity_of([sections(200, 1, 5)], open_ended_run, PERIODS).luminosity_pb == pytest.approx(2.5)
    found = luminosity.luminosity_of([sections(100, 1, 2)], open_ended_run, PERIODS, table(tmp_path))
    assert found.luminosity_pb == pytest.approx(2.0)


@pytest.mark.parametrize("text", ["{}", "[]", '{"1": [[3, 2]]}', '{"1": [2]}', "no"])
def test_other_lists_of_sections_are_refused(tmp_path, text):
    (tmp_path / "golden.json").write_text(text)
    with pytest.raises(InputFileError, match=r"golden\.json"):
        read_sections(tmp_path / "golden.json")


def data_file(path, run, numbers, blocks=True):
    with uproot.recreate(path) as out:
        tree = {"run": np.full(len(numbers), run, np.uint32), "luminosityBlock": np.array(numbers, np.uint32)}
        out.mktree("Events", {k: v.dtype for k, v in tree.items()}).extend(tree)
        if blocks:
            more = {"run": np.full(10, run, np.uint32), "luminosityBlock": np.arange(1, 11, dtype=np.uint32)}
            out.mktree("LuminosityBlocks", {k: v.dtype for k, v in more.items()}).extend(more)
    return str(path)


def dataset(name, *paths, **metadata):
    known = DatasetMetadata(process="data", is_data=True, era="x", **metadata)
    return Dataset(name, paths, known), [FileInfo(p, "0", 2, None) for p in paths]


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "golden.json").write_text(json.dumps(GOLDEN))
    asked = analysis(selection={"triggers": ["a"], "golden_json": str(tmp_path / "golden.json")})
    return asked, Era(name="x", periods=PERIODS), tmp_path


def test_sections_without_an_event_left_count_where_the_file_knows_them(tmp_path, asked):
    one = dataset("g", data_file(tmp_path / "a.root", 100, [1, 2]))
    two = dataset("g", data_file(tmp_path / "b.root", 100, [1, 2], blocks=False))
    assert luminosity.luminosities(*asked, {"g": one})["g"].sections == 10
    assert luminosity.luminosities(*asked, {"g": two})["g"].sections == 2


def test_processed_lumis_narrow_what_was_read(tmp_path, asked):
    (tmp_path / "processedLumis.json").write_text(json.dumps({"100": [[1, 4]]}))
    path = data_file(tmp_path / "a.root", 100, [1, 2])
    read = dataset("g", path, processed_lumis=str(tmp_path / "processedLumis.json"))
    assert luminosity.luminosities(*asked, {"g": read})["g"].luminosity_pb == pytest.approx(40.0 * 4 / 20)


def test_a_file_that_was_lost_does_not_count(tmp_path, asked):
    whole, files = dataset("g", data_file(tmp_path / "a.root", 100, [1]), data_file(tmp_path / "b.root", 200, [5, 6]))
    both, first = (luminosity.luminosities(*asked, {"g": (whole, kept)})["g"] for kept in (files, files[:1]))
    assert both.luminosity_pb == pytest.approx(20.0 + 5.0 * 6 / 10)
    assert first.luminosity_pb == pytest.approx(20.0)


def test_two_datasets_with_the_same_sections_are_refused(tmp_path, asked):
    path = data_file(tmp_path / "a.root", 100, [1, 2])
    with pytest.raises(OddjetsError, match="share 10 certified luminosity sections"):
        luminosity.luminosities(*asked, {"g": dataset("g", path), "h": dataset("h", path)})


def test_the_official_json_and_its_eras(official_cache):
    """Nearly all of G and H is certified, and each period's sections give its luminosity."""
    from oddjets.corrections import lookups

    era, folder = lookups.load_era("2016UL")
    certified = read_sections(lookups.verified_path(era, folder, "golden"))
    both = luminosity.luminosity_of([every_section(certified, 278820)], certified, era.periods)
    assert both.luminosity_pb == pytest.approx(16393.38)
    assert not both.approximate
    # a section is 23.31 s of beam; G and H had peak luminosities of about 1e34 / (cm2 s): 0.1 to 0.35 /pb a section
    assert 0.1 < both.luminosity_pb / both.sections < 0.35


@pytest.fixture(scope="module")
def random_sections(tmp_path_factory):
    """A golden JSON of random ranges, a table of brilcalc in /pb, and events in random sections in and out of both."""
    rng = np.random.default_rng(11)
    folder = tmp_path_factory.mktemp("oracle")
    runs = np.sort(rng.choice(np.arange(278_000, 285_000), 40, replace=False))
    edges = {str(run): np.sort(rng.choice(np.arange(1, 400), 8, replace=False)).reshape(-1, 2) for run in runs[:30]}
    (folder / "golden.json").write_text(json.dumps({run: spans.tolist() for run, spans in edges.items()}))
    rows = [
        f"{run}:4000,{section}:{section},01/01/16 00:00:00,STABLE BEAMS,6500,1.0,{rng.uniform(0, 0.3)!r},20.0,HFET"
        for run in runs
        for section in range(1, 401)
    ]
    header = "#run:fill,ls,time,beamstatus,E(GeV),delivered(/pb),recorded(/pb),avgpu,source"
    (folder / "lumi.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder, rng.choice(runs, 5000).astype(np.uint32), rng.integers(1, 401, 5000).astype(np.uint32)


@pytest.mark.slow
def test_certified_events_are_those_of_coffea(random_sections):
    from coffea.lumi_tools import LumiMask

    folder, run, section = random_sections
    theirs = LumiMask(folder / "golden.json")(run, section)
    assert 0.1 < theirs.mean() < 0.9
    ours = in_intervals(read_sections(folder / "golden.json"), run, section)
    np.testing.assert_array_equal(ours, theirs)


def test_the_column_of_the_cut_is_coffeas_mask(tmp_path):
    from coffea.lumi_tools import LumiMask
    from helpers.chunks import chunk_of
    from helpers.toy_nano import toy_nano

    from oddjets.selection.certification import DataQuality

    (tmp_path / "golden.json").write_text(json.dumps({"7": [[2, 4], [7, 7], [9, 30]]}))
    # sections 1 to 10 in turn
    events = chunk_of(toy_nano(tmp_path / "a.root", 40, is_data=True, run=7), stop=40, is_data=True)
    quality = DataQuality()
    quality.analysis = analysis(selection={"triggers": ["a"], "golden_json": str(tmp_path / "golden.json")})
    quality.era, quality.era_folder = Era(name="x"), tmp_path
    theirs = LumiMask(tmp_path / "golden.json")(np.asarray(events.run), np.asarray(events.luminosityBlock))
    assert 0 < theirs.sum() < 40
    np.testing.assert_array_equal(quality.certified_events(events)["passes_certified"], theirs)


def test_the_luminosity_of_certified_sections_is_that_of_coffea(random_sections):
    from coffea.lumi_tools import LumiData, LumiList, LumiMask

    folder, run, section = random_sections
    kept = LumiMask(folder / "golden.json")(run, section)
    theirs = LumiData(folder / "lumi.csv").get_lumi(LumiList(run[kept], section[kept], delayed=False))
    # each section of many events counts once, in two files too
    parts = [sections_of(run[:3000], section[:3000]), sections_of(run[2000:], section[2000:])]
    certified = read_sections(folder / "golden.json")
    ours = luminosity.luminosity_of(parts, certified, {}, luminosity.read_luminosity_table(folder / "lumi.csv"))
    assert ours.luminosity_pb == pytest.approx(theirs, rel=1e-12)
    assert not ours.approximate
