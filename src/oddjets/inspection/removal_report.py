"""The account of what scores rest on, as JSON can hold it and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oddjets.core.tables import text_table
from oddjets.inspection.constituent_groups import ALL_TRACKS, RemovalPlan
from oddjets.inspection.removal import CAVEAT, JetEffects, axis_rule
from oddjets.scoring.model_card import ModelCard

__all__ = ["jet_content", "removal_content", "removal_lines", "removal_text", "signed"]

#: groups that one line names, at most, and the change of the logit that they have at least: odds by a quarter
_NAMED, _LEAST = 3, 0.25
_JET = {1: "leading jet", 2: "subleading jet"}
_MINUS = "\N{MINUS SIGN}"


def jet_content(jet: int, effects: JetEffects) -> dict[str, Any]:
    """Return the effects of one jet.

    Args:
        jet: 1 or 2.
        effects: of its groups.
    """
    groups = [asdict(group) | {"stands_out": group.stands_out} for group in effects.groups]
    shown = {id(group) for group in _shown(groups)}
    return {
        "jet": jet,
        **{name: value for name, value in asdict(effects).items() if name != "groups"},
        "groups": [group | {"shown": id(group) in shown} for group in groups],
    }


def removal_content(
    events: Sequence[Mapping[str, Any]], card: ModelCard, score: str, plan: RemovalPlan
) -> dict[str, Any]:
    """Return what is written of all events.

    Args:
        events: with ``id``, ``problem`` (why there is nothing; "") and ``jets``, as of `jet_content`.
        card: of the model.
        score: the score's name.
        plan: what was removed.
    """
    return {
        "caveat": CAVEAT,
        "score": score,
        "model": card.name,
        "axis": axis_rule(card),
        "plan": asdict(plan),
        "inferences": sum(jet["inferences"] for event in events for jet in event["jets"]),
        "events": [dict(event) for event in events],
    }


def _shown(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups worth a line: those with constituents, and one of steps that have the same ones.

    Tracks above 5 and above 10 sigma are the same ones where none is between: the higher step is shown. Of the softest, it is
    the lower limit.
    """
    shown: list[dict[str, Any]] = []
    for group in groups:
        if not group["constituents"]:
            continue
        before = shown[-1] if shown else {"kind": "", "action": "", "constituents": 0, "name": ""}
        # steps are nested: as many of one kind are the same ones
        same = all(group[key] == before[key] for key in ("kind", "action", "constituents"))
        if same and group["kind"] == "displacement" and before["name"] != ALL_TRACKS:
            shown[-1] = group
        elif not (same and group["kind"] == "softest"):
            shown.append(group)
    return shown


def removal_lines(content: Mapping[str, Any]) -> list[str]:
    """Return one line a jet: the groups without which its score falls, or rises, more than without any random ones.

    Changes of less than 0.25 in the logit are not named, and of steps only the one that changes most.

    Args:
        content: from `removal_content`.
    """
    lines = []
    for event in content["events"]:
        if event["problem"]:
            lines.append(f"{event['id']}: {event['problem']}")
        for jet in event["jets"]:
            start = f"{event['id']} {_JET[jet['jet']]}"
            if jet["note"]:
                lines.append(f"{start}: {jet['note']}")
                continue
            lines.append(f"{start}, score {jet['score']:.4f}: {_named(jet)}")
    return lines


def _named(jet: Mapping[str, Any]) -> str:
    said = []
    for verb, side, sign in (("falls without", "below", -1), ("rises without", "above", 1)):
        out = [
            group
            for group in jet["groups"]
            if group["shown"] and group["stands_out"] == side and sign * group["change"] >= _LEAST
        ]
        # of nested steps the one that changes most
        largest: dict[Any, Mapping[str, Any]] = {}
        for group in sorted(out, key=lambda group: -abs(group["change"])):
            nested = group["kind"] in ("displacement", "softest")
            largest.setdefault((group["kind"], group["action"], "" if nested else group["name"]), group)
        if largest:
            said.append(f"{verb} {', '.join(map(_brief, list(largest.values())[:_NAMED]))}")
    return "; ".join(said) if said else "no group changes it more than random constituents do"


def _brief(group: Mapping[str, Any]) -> str:
    what = f"d0 and dz of {group['name']}" if group["action"] == "reset" else group["name"]
    random = group["random"]
    return f"{what} ({signed(group['change'])}; random {signed(random['mean'])} +- {random['spread']:.2f})"


def signed(value: float) -> str:
    """Return a change of a logit with its sign, to 0.01."""
    # a change that is rounded to zero has no minus
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", _MINUS)


def removal_text(content: Mapping[str, Any]) -> str:
    """Return a table for each jet.

    Args:
        content: from `removal_content`.
    """
    plan = content["plan"]
    how = (
        "change: of the logit ln(s / (1 - s)), when a group is removed or its d0 and dz are set to 0;"
        f" {content['axis']}, and pT is not scaled up. random: mean and standard deviation of up to {plan['draws']} sets of as"
        " many constituents with about the same pT; shared: the mean share of a set that is of the group. * marks changes"
        f" beyond those of all sets: by chance {_by_chance(plan['draws'])} of the groups."
    )
    parts = [
        f"What the score '{content['score']}' (model {content['model']}) rests on.",
        content["caveat"],
        how,
    ]
    for event in content["events"]:
        if event["problem"]:
            parts.append(f"{event['id']}: {event['problem']}")
        parts += [f"{event['id']}, {_jet_text(jet)}" for jet in event["jets"]]
    return "\n\n".join(parts) + "\n"


def _by_chance(draws: int) -> str:
    return f"{200 / (draws + 1):.0f} %" if draws else "none"


def _jet_text(jet: Mapping[str, Any]) -> str:
    name = _JET[jet["jet"]]
    if jet["score"] is None:
        return f"{name}: {jet['note']}"
    logit = "" if jet["logit"] is None else f" (logit {signed(jet['logit'])})"
    prongs = f"{jet['prongs']} prong{'s' if jet['prongs'] != 1 else ''}"
    seen = f"{jet['constituents']} constituents, sum of pT {jet['pt']:.0f} GeV, {prongs}"
    head = f"{name}: score {jet['score']:.5f}{logit}, {seen}"
    if jet["note"]:
        head += f"; {jet['note']}"
    rows = []
    for group in jet["groups"]:
        if not group["shown"]:
            continue
        random = group["random"]
        rows.append(
            [
                group["name"] if group["action"] == "removed" else f"d0, dz of {group['name']} set to 0",
                group["constituents"],
                f"{100 * group['pt_fraction']:.0f} %",
                "-" if group["score"] is None else f"{group['score']:.4f}",
                group["note"] if group["change"] is None else signed(group["change"]),
                "*" if group["stands_out"] else "",
                f"{signed(random['mean'])} +- {random['spread']:.2f}" if random else "no other choice",
                f"{100 * random['shared']:.0f} %" if random else "",
            ]
        )
    table = text_table(["without", "number", "pT", "score", "change", "", "random", "shared"], rows)
    absent = [group["name"] for group in jet["groups"] if group["kind"] == "species" and not group["constituents"]]
    return f"{head}\n{table}" + (f"\nnone: {', '.join(absent)}" if absent else "")
