"""The report's tables of a study of learnt scores: the gain by injected signal, and whether the background estimate holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oddjets.core.provenance import read_manifest
from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import current_study
from oddjets.report.health_line import HealthCheck
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value, with_error

__all__ = ["FILES", "LEARNING", "gain_in_words", "learning_tables", "learnt_checks", "signals_of", "studies_of"]

#: the anchor of the table that the verdict links to
LEARNING = "table-learning"
#: the anchor of the table of learnt scores, and the method whose labels are masses, as `oddjets learn` calls it
LEARNT, MASS_WINDOW = "table-learnt", "mass-window"
#: the scores of a study in words
NAMES = {"seed": "seed", "learnt": "learnt", "product": "learnt × seed"}
#: what experiments are drawn from -> the study's file, without its ending
FILES = {"simulation": "learning", "mixed": "learning_mixed"}
#: what experiments are drawn from, in words
SOURCES = {
    "simulation": "simulated events",
    "mixed": "pairs of jets of different simulated events, for which ABCD holds",
}


def signals_of(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the signals of a study of learnt scores, with their numbers; those that are held out come last.

    Args:
        found: the content of its file.
    """
    yield str(found["signal"]), found
    yield from found.get("hold_out", {}).items()


def learning_tables(artifacts: Artifacts) -> list[Table]:
    """Return the gain by strength and the closure of each score, and what was learnt from data; nothing where there is neither.

    Args:
        artifacts: of the output directory.
    """
    studied = [
        table for found in studies_of(artifacts) for table in (_gains(artifacts, found), _checks(artifacts, found))
    ]
    trained = [_trained(artifacts, file, manifest) for file, manifest in _trainings(artifacts)]
    used = _used(artifacts)
    return [*studied, *([used] if used is not None else []), *trained]


def studies_of(artifacts: Artifacts) -> list[dict[str, Any]]:
    """Return the studies of learnt scores that are up to date: of simulated events, and of pairs of their jets.

    Args:
        artifacts: of the output directory.
    """
    known = (current_study(artifacts, name) for name in FILES.values())
    return [found for found in known if found is not None]


def learnt_checks(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about scores that were learnt from data; none where the analysis has no such score.

    Args:
        artifacts: of the output directory.
    """
    found = _scores(artifacts)
    if not found:
        return []
    place = ("manifests/process.json", "extra.learnt", LEARNT)
    of_mass = [name for name, one in found.items() if one["method"] == MASS_WINDOW]
    value = ", ".join(f"{name}: {one['method']}" for name, one in found.items())
    if not of_mass:
        note = "learnt from data; where these have no signal, it is worth less than its seed"
        return [HealthCheck("Learnt scores", "good", value, note, *place)]
    studied = current_study(artifacts, "sculpting") is not None
    note = (
        f"{', '.join(of_mass)}: learnt from a mass; a score that can guess it makes a bump of background in the window; "
        + ("see the sculpting study below" if studied else "run `oddjets study sculpting` before any use")
    )
    return [HealthCheck("Learnt scores", "watch", value, note, *place)]


def _scores(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return what the cards of the analysis's learnt scores say, by name."""
    found: dict[str, dict[str, Any]] = ((artifacts.manifests.get("process") or {}).get("extra") or {}).get(
        "learnt"
    ) or {}
    return found


def _used(artifacts: Artifacts) -> Table | None:
    """Return the learnt scores that this analysis uses; None where there are none."""
    found = _scores(artifacts)
    if not found:
        return None
    rows = [
        [
            Cell(name),
            Cell(one["method"], None, one["training"]),
            Cell(one["seed_score"] or "none"),
            Cell(one["analysis"]),
            Cell(count(one["n_events"]), one["n_events"]),
            Cell(f"{one['folds']}, {one['members']}"),
            Cell(f"{one['agreement']:.2f}", one["agreement"]),
            Cell(count(len(one["columns"])), len(one["columns"]), ", ".join(one["columns"])),
        ]
        for name, one in found.items()
    ]
    return Table(
        "Scores of this analysis that were learnt from data",
        [
            *("Score", "method", "labelled by", "data of", "events"),
            *("folds, trainings in each", "rank correlation of trainings", "columns"),
        ],
        rows,
        "manifests/process.json",
        "extra.learnt",
        anchor=LEARNT,
        note=(
            "Jets of data have the score by the model of their event's fold, which did not see the event; simulated jets the"
            " mean over the folds. What such a score gains and costs, `oddjets study learning` on the analysis that it was"
            " learnt from tells; whether it makes a bump, `oddjets study sculpting` on this one."
        ),
    )


def _trainings(artifacts: Artifacts) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the finished trainings on the data of this analysis: file and content of the manifests."""
    stages = sorted(file.stem for file in artifacts.out.glob("manifests/learn*.json"))
    read = {stage: read_manifest(artifacts.out, stage) for stage in stages}
    return [(f"manifests/{stage}.json", found) for stage, found in read.items() if found and "extra" in found]


def _trained(artifacts: Artifacts, file: str, manifest: Mapping[str, Any]) -> Table:
    """Return what the manifest of `oddjets learn` says, which is nothing of the data in A."""
    found = manifest["extra"]
    options, jets = found["options"], found["jets"]
    rows = [
        [Cell("events of data"), Cell(count(found["events"]), found["events"])],
        *([Cell(f"{kind} jets"), Cell(count(number), number)] for kind, number in jets.items()),
        [Cell("folds, trainings in each"), Cell(f"{options['folds']}, {options['members']}")],
        [Cell("events of the smallest fold"), Cell(count(found["smallest_fold"]), found["smallest_fold"])],
        [Cell("rank correlation of trainings"), Cell(f"{found['agreement']:.2f}", found["agreement"])],
        *_evidence(found),
    ]
    for process, one in found["signals"].items():
        if one["efficiency"] is None:
            continue
        label = str(artifacts.process(process)["label"])
        rows += [
            [Cell(f"{label} above the threshold, learnt × seed"), Cell(f"{one['efficiency']:.3f}", one["efficiency"])],
            [Cell(f"{label} above the threshold, seed"), Cell(f"{one['seed_efficiency']:.3f}", one["seed_efficiency"])],
            [
                Cell(f"{label}: change by other trainings and folds"),
                Cell(f"{100 * one['stochastic']:.1f} %", one["stochastic"]),
            ],
        ]
    return Table(
        f"The score '{options['name']}', learnt from these data",
        ["Number", "Value"],
        rows,
        file,
        "extra",
        note=(
            f"`oddjets learn`, {options['method']}, seed {options['seed_score']}, from {', '.join(options['columns'])}. What"
            " such a score gains and costs, `oddjets study learning` tells; one training does not. The analysis with it:"
            f" {found['analysis']}."
        ),
    )


def _evidence(found: Mapping[str, Any]) -> list[list[Cell]]:
    weight = Cell("weight of the learnt score in the product")
    if "weight" not in found:
        return [[weight, Cell("1, by an earlier version; `oddjets learn` finds it from the labels")]]
    rows = [[weight, Cell(f"{found['weight']:.2f}", found["weight"])]]
    if (known := found["evidence"]) is None:
        return [[Cell("labels of jets that were not seen"), Cell("without labels")], *rows]
    sigma = f"{known['n_sigma']:+.1f}".replace("-", "\N{MINUS SIGN}")
    return [
        [
            Cell("AUC against labels of jets that were not seen"),
            Cell(f"{known['auc']:.3f}", known["auc"], f"0.5 ± {known['error']:.3f} if nothing was learnt"),
        ],
        [Cell("by how many standard deviations above 0.5"), Cell(sigma, known["n_sigma"])],
        *rows,
    ]


def gain_in_words(found: Mapping[str, Any]) -> str:
    """Return the loss without signal and the strength from which there is a gain.

    Args:
        found: a signal of `signals_of`.
    """
    loss = found["loss_at_zero"]
    parts = []
    if loss is not None and loss["mean"] is not None:
        error = "" if loss["error"] is None else f" ± {100 * loss['error']:.0f}"
        parts.append(f"{100 * loss['mean']:+.0f}{error} % without signal".replace("-", "\N{MINUS SIGN}"))
    even = found["break_even"]["product"]["strength"]
    parts.append("no gain at any strength" if even is None else f"a gain from strength {even:.2g}")
    return "; ".join(parts)


def _gains(artifacts: Artifacts, found: Mapping[str, Any]) -> Table:
    rows = []
    for signal, one in signals_of(found):
        label = str(artifacts.process(signal)["label"])
        for row in one["strengths"]:
            scores = row["scores"]
            rows.append(
                [
                    Cell(label),
                    Cell(f"{row['injected']:.3g}", row["injected"], f"{row['injected_events']:.0f} events"),
                    *(_mean(scores[name]["sic"]) for name in NAMES),
                    _mean(row["gain"]["product"]),
                    _mean(row["weight"]),
                    *(_mean(scores[name]["auc"]) for name in NAMES),
                    *(_median(scores[name].get("fit")) for name in ("seed", "product")),
                ]
            )
    labels = found["labels"]
    how = (
        f"by the mass of the other jet, {labels['window'][0]:g} to {labels['window'][1]:g} GeV"
        if "window" in labels
        else f"at or above the {labels['high']:g} and at or below the {labels['low']:g} quantile of the other jet's seed"
    )
    words = [gain_in_words(one) for _, one in signals_of(found)]
    return Table(
        f"A score learnt from data, by injected signal{_of(found)}",
        [
            *("Signal", "injected", *(f"SIC, {name}" for name in NAMES.values()), "gain over the seed"),
            "weight of the learnt score",
            *(f"AUC of jets, {name}" for name in NAMES.values()),
            *(f"median z, {NAMES[name]}" for name in ("seed", "product")),
        ],
        rows,
        f"study/{FILES[found['source']]}.json",
        "strengths",
        anchor=LEARNING if found["source"] == "simulation" else f"{LEARNING}-{found['source']}",
        note=(
            f"Means of {found['experiments']} experiments of {found['luminosity_pb']:.4g} /pb for each strength, with a"
            f" training in each, drawn from {SOURCES[found['source']]}; errors are of the mean. SIC: significance improvement"
            " at 1 % of the background, of simulated events of the signal that are in no training. Seed:"
            f" {found['seed_score']}. Learnt from"
            f" {', '.join(found['trained_on'])}; labels {how}; {found['folds']} folds, trainings in each: {found['members']}."
            f" Product over seed: {'; '.join(words)}."
        ),
    )


def _checks(artifacts: Artifacts, found: Mapping[str, Any]) -> Table:
    rows = []
    for signal, one in signals_of(found):
        label = str(artifacts.process(signal)["label"])
        for row in one["strengths"]:
            for name, words in NAMES.items():
                score = row["scores"][name]
                uniform = (one["uniformity"] or {}).get(name) if row["injected"] == 0 else None
                rows.append(
                    [
                        Cell(label),
                        Cell(f"{row['injected']:.3g}", row["injected"]),
                        Cell(words),
                        _ratio(score["closure"]),
                        _ratio(score["permuted"]),
                        _mean(score["sculpting"]),
                        *_of_z(uniform),
                    ]
                )
    return Table(
        f"Background estimate of the learnt score{_of(found)}",
        [
            *("Signal", "injected", "Score", "A D / (B C)", "A over exchanged jets", "divergence of the mass, bits"),
            *("mean z", "sd of z", "p, z uniform"),
        ],
        rows,
        f"study/{FILES[found['source']]}.json",
        "strengths",
        note=(
            "Of the background alone, at each experiment's own threshold, in all events of the base selection. Exchanged jets:"
            " the mean of A if subleading jets are exchanged among the events of a fold; a ratio of 1 says that a score couples"
            " no jets. Divergence: of the soft-drop mass of background jets that pass from those that fail, beyond chance. z is"
            " signed, without signal; its p is uniform where the fit is right."
        ),
    )


def _of(found: Mapping[str, Any]) -> str:
    return "" if found["source"] == "simulation" else " (mixed pairs)"


def _mean(found: Mapping[str, Any]) -> Cell:
    if found["mean"] is None:
        return Cell("none")
    if found["error"] is None:
        return Cell(f"{found['mean']:.3g}", found["mean"])
    return Cell(with_error(found["mean"], found["error"]), found["mean"], f"spread of experiments {found['sd']:.2g}")


def _ratio(found: Mapping[str, Any]) -> Cell:
    if found["value"] is None or found["error"] is None:
        return Cell("none")
    return Cell(with_error(found["value"], found["error"]), found["value"])


def _median(fit: Mapping[str, Any] | None) -> Cell:
    if fit is None:
        return Cell("not fitted")
    if "z" not in fit:
        return Cell("all fits failed")
    z = fit["z"]
    failed = f"; {fit['failed']} fits failed" if fit["failed"] else ""
    text = f"{z['median']:.2f}".replace("-", "\N{MINUS SIGN}")
    return Cell(text, z["median"], f"± {z['median_error']:.2f}{failed}")


def _of_z(found: Mapping[str, Any] | None) -> list[Cell]:
    if found is None or found["ks_p"] is None:
        return [Cell(""), Cell(""), Cell("")]
    sd = Cell("") if found["sd"] is None else Cell(f"{found['sd']:.2f}", found["sd"])
    return [_mean(found), sd, Cell(p_value(found["ks_p"]), found["ks_p"])]
