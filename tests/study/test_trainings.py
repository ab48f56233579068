"""The study of a family of trainings, on events whose scores are known: equal members, and members that differ by noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import study_events
from scipy.stats import spearmanr

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.studies import TRAININGS, read_training_study
from oddjets.study.events import EventArrays, read_events
from oddjets.study.trainings import compare_trainings, lines_of, require_family

MEMBERS = ("team_member1", "team_member2", "team_member3")


def analysis(**fit: Any) -> Analysis:
    made = study_events.make_analysis(
        scores={"team": {"family": ["a.yaml", "b.yaml", "c.yaml"]}}, threshold={"score": "team", "efficiency": 0.02}
    )
    return made.model_copy(update={"fit": made.fit.model_copy(update=fit)})


def events_of(noise: float, asked: Analysis) -> Any:
    """Simulated events and data whose members' scores are the true score and as much noise each; the mean has no noise."""
    tables = {
        "qcd": study_events.columns("qcd", 6000, 0.5, 1),
        "top": study_events.columns("top", 3000, 0.02, 2),
        "wjets": study_events.columns("wjets", 2000, 0.05, 3),
        "data": study_events.columns("qcd", 15_000, 1.0, 4),
    }
    rng = np.random.default_rng(9)
    for table in tables.values():
        for name in ("team", *MEMBERS):
            for j in (1, 2):
                own = noise * rng.normal(size=len(table["event"])) if name != "team" else 0.0
                table[f"score_{name}_{j}"] = table[f"score_s_{j}"] + own

    def read(score: str) -> tuple[list[EventArrays], list[EventArrays]]:
        def of(process: str, names: tuple[str, ...]) -> list[EventArrays]:
            def scores(table: Any) -> np.ndarray:
                return np.stack([table[f"score_{score}_{j}"] for j in (1, 2)])

            return read_events(
                asked, study_events.Cuts(), [tables[process]], process, dict.fromkeys(names, 1.0), scores=scores
            )

        varied = (NOMINAL, *study_events.VARIATIONS)
        simulated = of("qcd", (NOMINAL,)) + of("top", varied) + of("wjets", varied)
        return simulated, of("data", (NOMINAL,))

    return read, tables


@pytest.fixture(scope="module")
def noisy() -> dict[str, Any]:
    asked = analysis()
    read, tables = events_of(0.3, asked)
    return compare_trainings(asked, MEMBERS, read, None, None) | {"tables": tables}


def test_equal_members_agree_in_everything() -> None:
    asked = analysis()
    read, _ = events_of(0.0, asked)
    found = compare_trainings(asked, MEMBERS[:2], read, None, None)
    first, *others = found["members"].values()
    assert all(other == first for other in others)
    assert found["spread"]["threshold"] == found["spread"]["z"] == found["spread"]["strength"] == 0
    for pairs in found["agreement"].values():
        for pair in pairs.values():
            assert pair["rank_correlation"]["value"] == pytest.approx(1)
            assert pair["overlap"]["value"] == pytest.approx(1)


def test_thresholds_yields_and_closure_are_those_of_the_tables(noisy: dict[str, Any]) -> None:
    for name in ("team", *MEMBERS):
        found = noisy["members"][name]
        both = {
            process: np.stack([table[f"score_{name}_{j}"] for j in (1, 2)])
            for process, table in noisy["tables"].items()
        }
        cut = np.quantile(both["data"].min(axis=0), 0.98)
        assert found["threshold"] == pytest.approx(cut, rel=1e-12)
        for process, table in noisy["tables"].items():
            low = (
                (np.maximum(table["tau21_1"], table["tau21_2"]) < 0.5)
                & (table["mass_1"] >= 60)
                & (table["mass_1"] < 210)
            )
            above = both[process] >= cut
            letters = [above.all(axis=0), ~above[0] & above[1], above[0] & ~above[1], ~above.any(axis=0)]
            sums = [table["weight"][low & letter].sum() for letter in letters]
            assert found["regions"]["SR"]["in_A"][process] == pytest.approx(sums[0], rel=1e-9)
            if process == "qcd":
                a, b, c, d = sums
                closure = found["regions"]["SR"]["closure"]
                assert closure["constant"] == pytest.approx(a * d / (b * c), rel=1e-9)
                # equal weights: 1/sqrt(n) of each letter
                numbers = [(low & letter).sum() for letter in letters]
                relative = np.sqrt(sum(1 / n for n in numbers))
                assert closure["error"] == pytest.approx(closure["constant"] * relative, rel=1e-9)


def test_the_spread_is_that_of_the_members_without_the_mean(noisy: dict[str, Any]) -> None:
    members = [noisy["members"][name] for name in MEMBERS]
    for key in ("threshold", "z", "strength"):
        assert noisy["spread"][key] == pytest.approx(np.std([m[key] for m in members], ddof=1))
    in_a = [m["regions"]["SR"]["in_A"]["data"] for m in members]
    assert noisy["spread"]["regions"]["SR"]["in_A"]["data"] == pytest.approx(np.std(in_a, ddof=1))
    assert noisy["spread"]["threshold"] > 0


def test_agreement_is_that_of_the_tables(noisy: dict[str, Any]) -> None:
    table = noisy["tables"]["data"]
    lower = [np.minimum(table[f"score_{n}_1"], table[f"score_{n}_2"]) for n in MEMBERS[:2]]
    found = noisy["agreement"]["data"]["team_member1, team_member2"]
    assert found["rank_correlation"]["value"] == pytest.approx(spearmanr(*lower).statistic)
    chosen = [x >= np.quantile(x, 0.98) for x in lower]
    assert found["overlap"]["value"] == pytest.approx((chosen[0] & chosen[1]).sum() / chosen[0].sum())
    assert 0.1 < found["overlap"]["value"] < 0.9


def test_a_blinded_analysis_tells_nothing_of_data_in_a() -> None:
    asked = analysis(blind=True)
    assert asked.blind
    read, tables = events_of(0.3, asked)
    found = compare_trainings(asked, MEMBERS[:2], read, None, None)
    assert found["blinded"]
    for member in found["members"].values():
        assert {"z", "strength"}.isdisjoint(member)
        assert "data" not in member["regions"]["SR"]["in_A"]
    (pair,) = found["agreement"]["data"].values()
    assert "overlap" not in pair
    # nor does the rank correlation, of whatever is in A of a member or of the mean, which is what the analysis hides
    table = tables["data"]
    lower = [np.minimum(table[f"score_{n}_1"], table[f"score_{n}_2"]) for n in (*MEMBERS[:2], "team")]
    of_members = ~np.any([x >= np.quantile(x, 0.98) for x in lower[:2]], axis=0)
    outside = ~np.any([x >= np.quantile(x, 0.98) for x in lower], axis=0)
    assert pair["rank_correlation"]["n"] == outside.sum() < of_members.sum()
    assert any("blinded" in line for line in lines_of(found))


def test_lines_name_every_member(noisy: dict[str, Any]) -> None:
    lines = lines_of(noisy)
    assert lines[0].startswith("team (mean): threshold ")
    assert [line.partition(":")[0] for line in lines[1:4]] == list(MEMBERS)
    assert lines[4].startswith("standard deviation over members: threshold ")
    assert any(line.startswith("two members, data: rank correlation 0.") for line in lines)


def test_a_score_that_is_no_family_is_refused() -> None:
    assert require_family(analysis()) == list(MEMBERS)
    with pytest.raises(OddjetsError, match=r"threshold.score: 's' is no family of trainings"):
        require_family(study_events.make_analysis())


def test_a_study_of_another_workspace_is_not_shown(tmp_path: Any) -> None:
    import json

    from oddjets.core.files import sha256_of

    assert read_training_study(tmp_path) is None
    (tmp_path / "study").mkdir()
    (tmp_path / "workspace.json").write_text("{}")
    file = tmp_path / "study" / TRAININGS
    content = dict.fromkeys(("family", "blinded", "members", "spread", "agreement"), 1)
    for sha, there in ((sha256_of(tmp_path / "workspace.json"), True), ("0" * 64, False)):
        file.write_text(json.dumps(content | {"workspace_sha256": sha}))
        assert (read_training_study(tmp_path) is not None) == there
    for broken in ("{", "[]", '{"workspace_sha256": null}'):
        file.write_text(broken)
        with pytest.raises(OddjetsError, match="cannot be read as a study of trainings"):
            read_training_study(tmp_path)
