"""The YAML: every error at once, with its place and the nearest valid name."""

import pytest
import yaml
from helpers.analyses import analysis, content
from pydantic import ValidationError

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.config.simulation import default_seed
from oddjets.config.yaml import ConfigError, describe_errors


def write(folder, data, name="analysis.yaml"):
    file = folder / name
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return file


def test_all_errors_at_once_with_places_and_nearest_names(tmp_path):
    data = content()
    data["titel"] = data.pop("title")
    data["selection"]["jets"] = {"pt_mn": 450.0}
    data["threshold"]["efficiency"] = 2.0
    data["fit"]["poi"]["proces"] = data["fit"]["poi"].pop("process")
    with pytest.raises(ConfigError) as caught:
        load_analysis(write(tmp_path, data))
    message = str(caught.value)
    for part in (
        "titel: unknown key; did you mean 'title'",
        "title: field required",
        "selection.jets.pt_mn: unknown key; did you mean 'pt_min'",
        "threshold.efficiency",
        "fit.poi.proces: unknown key; did you mean 'process'",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: [", "no valid YAML"),
        ("name: a\nname: b\n", "'name' is given twice"),
        ("- a\n", "mapping"),
        ("!!python/object/apply:os.system ['true']", "no valid YAML"),
    ],
)
def test_broken_yaml_is_a_clear_error(tmp_path, text, part):
    with pytest.raises(ConfigError, match=part):
        load_analysis(write(tmp_path, text))


def test_a_missing_file_names_its_neighbours(tmp_path):
    write(tmp_path, content(), "top.yaml")
    with pytest.raises(ConfigError, match=r"did you mean 'top.yaml'"):
        load_analysis(tmp_path / "tpo.yaml")


def test_extends_lays_keys_over_another_file(tmp_path):
    write(tmp_path, content(), "base.yaml")
    loaded = load_analysis(write(tmp_path, {"extends": "base.yaml", "fit": None, "threshold": {"efficiency": 0.2}}))
    assert loaded.fit is None
    assert loaded.threshold.efficiency == 0.2
    assert loaded.threshold.score == "omnilearned"


def test_extends_finds_a_shipped_analysis_from_any_folder(tmp_path):
    loaded = load_analysis(write(tmp_path, {"extends": "demo.yaml", "name": "mine"}))
    assert (loaded.name, loaded.threshold.score) == ("mine", "omnilearned")
    with pytest.raises(ConfigError, match=r"did you mean 'demo.yaml'"):
        load_analysis(write(tmp_path, {"extends": "dmeo.yaml", "name": "mine"}))


def simulated(name=None, **asked):
    data = {k: v for k, v in content().items() if k not in ("fileset", "name")}
    return data | ({} if name is None else {"name": name}) | {"simulate": {"templates": {"top": 10}, **asked}}


def test_an_analysis_that_says_no_seed_has_one_of_its_name(tmp_path):
    one, other = (load_analysis(write(tmp_path, simulated(name))).simulate.seed for name in ("one", "other"))
    assert (one, other) == (default_seed("one"), default_seed("other"))
    assert one != other
    assert load_analysis(write(tmp_path, simulated("other"))).simulate.seed == other
    assert load_analysis(write(tmp_path, simulated("one", seed=0))).simulate.seed == 0
    assert Analysis.model_validate(simulated("one")).simulate.seed == one
    # a set is only what is asked, not whose it is
    assert load_analysis(write(tmp_path, simulated("one") | {"simulate": {"set": "tiny"}})).simulate.seed == one


@pytest.mark.parametrize("asked", [{}, {"seed": 3}], ids=["of the name", "said"])
def test_one_that_extends_another_shares_its_sample_or_asks_for_another(tmp_path, asked):
    write(tmp_path, simulated("base", **asked), "base.yaml")
    seed = load_analysis(tmp_path / "base.yaml").simulate.seed

    def extended(**keys):
        return load_analysis(write(tmp_path, {"extends": "base.yaml", **keys})).simulate.seed

    assert seed == asked.get("seed", default_seed("base"))
    assert extended(name="fit", threshold={"efficiency": 0.2}) == seed
    assert extended(simulate={"templates": {"top": 20}}) == seed
    assert extended(name="more", simulate={"templates": {"top": 20}}) == default_seed("more")
    assert extended(name="more", simulate={"seed": None}) == default_seed("more")
    assert extended(name="more", simulate={"templates": {"top": 20}, "seed": seed}) == seed


@pytest.mark.parametrize("name", ["analysis.yaml", "../elsewhere.yaml", "/etc/passwd"])
def test_extends_neither_itself_nor_another_folder(tmp_path, name):
    with pytest.raises(ConfigError, match="extends"):
        load_analysis(write(tmp_path, {**content(), "extends": name}))


def test_binning_of_a_region_replaces_that_of_the_observable():
    small = analysis()
    assert small.binning("leading_mass", "SR") == [60, 90, 120, 150, 180, 210, 240]
    assert small.binning("leading_mass", "SR2") == [60, 120, 180, 240]


def test_an_analysis_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        analysis().name = "other"  # type: ignore[misc]


def test_an_analysis_is_shown_as_a_short_table():
    shown = analysis(title="Jets <b>", path=None)
    for text in (repr(shown), str(shown)):
        lines = text.splitlines()
        assert lines[0] == "small: Jets <b>"
        assert len(lines) == 13
        assert "SR, VR1, SR1, SR2" in text
        assert "leading_mass" in text
    assert "<table>" in shown._repr_html_()
    assert "Jets &lt;b&gt;" in shown._repr_html_()
    without = analysis(fit=None, systematics=[])
    assert [line.split() for line in repr(without).splitlines()[-2:]] == [["systematics", "none"], ["fit", "none"]]


@pytest.mark.parametrize("toys", ["Auto", "many", -1, True, 1.5, [1]])
def test_toys_are_a_number_or_auto_and_a_mistake_is_said_once(toys):
    with pytest.raises(ValidationError) as caught:
        analysis(fit={**content()["fit"], "toys": toys})
    (line,) = describe_errors(caught.value, Analysis)
    assert line.startswith("fit.toys: must be a number of toys, at least 0, or auto (got ")
    assert analysis(fit={**content()["fit"], "toys": "auto"}).fit.toys == "auto"
    assert analysis(fit={**content()["fit"], "toys": "200"}).fit.toys == 200


@pytest.mark.parametrize("key", ["score_folder", "cache"])
@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("", "must be the name of a folder"),
        ("a\0b", "must be the name of a folder"),
        ("~nobody-at-all/scores", "there is nobody whose own folder is '~nobody-at-all'"),
    ],
)
def test_a_folder_that_none_can_have_is_refused(key, folder, said):
    with pytest.raises(ValidationError, match=said):
        analysis(execution={key: folder})
