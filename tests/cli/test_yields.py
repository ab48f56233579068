"""`oddjets yields` prints the events that are in the event tables, by region and letter."""

import math

import pytest
import yaml
from helpers import toy_search
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.io import event_table
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext

REGIONS = {"SR": {"cuts": ["mass_2 > 100"]}, "VR1": {"cuts": ["not SR"]}, "none": {"all": "mass < 0"}}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    file = toy_search.write(
        tmp_path_factory.mktemp("search"), regions=REGIONS, threshold={"score": "xbb", "value": 0.5}
    )
    run = RunContext(load_analysis(file), file.parent / "out")
    run_stages(run, [stage_of(run, name) for name in ("process", "histogram")])
    return file


def printed(*words, code=0):
    result = CliRunner().invoke(app, ["yields", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def rows(text):
    lines = [line.split() for line in text.splitlines()]
    return {(line[0], line[1]): line[2:] for line in lines if len(line) > 2 and line[1] in "ABCD"}


def counted(search, dataset):
    """Letters of the events in a region, from the table alone: numbers, and sums of weights."""
    table = event_table.read(search.parent / "out" / "events", dataset)
    one, two = (table[f"score_xbb_{j}"] >= 0.5 for j in (1, 2))
    letters = {"A": one & two, "B": ~one & two, "C": one & ~two, "D": ~one & ~two}
    inside = table["passes_nominal"]
    regions = {"SR": table["mass_2"] > 100, "VR1": ~(table["mass_2"] > 100), "none": table["mass_1"] < 0}
    return {(r, k): table["weight"][inside & m & letters[k]] for r, m in regions.items() for k in letters}


def test_the_table_has_the_events_of_the_tables(search):
    found = rows(printed(search, "--out", search.parent / "out").stdout)
    expected = counted(search, "data")
    for key, weights in expected.items():
        if key[1] != "A":
            assert int(found[key][-1]) == len(weights)
    for region in ("SR", "VR1"):
        top, data, abcd = found[region, "A"][0], found[region, "A"][-4], found[region, "A"][-3]
        assert int(data) == len(expected[region, "A"])
        assert top != data
        simulated = counted(search, "top")
        # at 10 /pb, 100 events of 1 pb: each weighs a tenth; QCD is what is left of the data
        b, c, d = (len(expected[region, k]) - 0.1 * len(simulated[region, k]) for k in "BCD")
        assert float(abcd) == pytest.approx(b * c / d, rel=0.05)
    assert found["none", "D"] == ["0", "0"]


def test_hidden_data_are_not_printed(search, tmp_path):
    content = yaml.safe_load(search.read_text())
    content["fit"]["blind"] = True
    content["fileset"] = str(search.parent / "fileset.json")
    file = tmp_path / "blind.yaml"
    file.write_text(yaml.safe_dump(content))
    said = printed(file, "--out", search.parent / "out")
    assert "hidden" in rows(said.stdout)["SR", "A"]
    assert str(len(counted(search, "data")["SR", "A"])) not in rows(said.stdout)["SR", "A"]
    assert "out of date" in said.stderr


def test_without_histograms_the_stage_is_named(search, tmp_path):
    assert "run `oddjets histogram` first" in str(printed(search, "--out", tmp_path / "empty", code=1).exception)


def test_the_error_of_b_c_over_d_is_that_of_independent_counts():
    from oddjets.report.event_yields import Yield, _abcd

    found = _abcd(Yield(100, 10), Yield(400, 20), Yield(50, math.sqrt(50)))
    # relative errors in quadrature
    assert found.value == pytest.approx(800)
    assert found.error == pytest.approx(800 * math.sqrt(1 / 100 + 1 / 400 + 1 / 50))
