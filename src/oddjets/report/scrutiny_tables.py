"""The report's tables of several choices, of injected signals and of sculpting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import current_study
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value, with_error

__all__ = ["CHOICES", "INJECTION", "SCULPTING", "choice_tables", "injection_tables", "sculpting_tables"]

#: anchors of the tables that the first screen links to
CHOICES, INJECTION, SCULPTING = "table-choices", "table-injection", "table-sculpting"

_NONE = Cell("–")


def _number(value: float | None, digits: str = ".2f", title: str = "") -> Cell:
    return _NONE if value is None else Cell(f"{value:{digits}}".replace("-", "\N{MINUS SIGN}"), value, title)


def choice_tables(artifacts: Artifacts) -> list[Table]:
    """Return the choices with their significances, and what the largest of them is worth; nothing without a study of them."""
    found = current_study(artifacts, "choices")
    if found is None:
        return []
    local = dict(zip(found["choices"], (found.get("global") or {}).get("local_p", ()), strict=False))
    rows = [
        [
            Cell(name, title=", ".join(map(str, one.get("regions", ())))),
            Cell(str(one.get("score", "–"))),
            _NONE if one.get("efficiency") is None else _number(100 * one["efficiency"], "g"),
            Cell(str(one.get("observable", "–"))),
            Cell(str(one.get("signal", "–"))),
            _number(one["mean_z"]),
            _number(one["sd_z"]),
            _number(one.get("observed_z")),
            _NONE if name not in local else _rank(local[name], found["complete"]),
        ]
        for name, one in found["choices"].items()
    ]
    here = found.get("of_folder")
    heads = ["Choice", "score", "efficiency [%]", "observable", "signal", "mean z", "sd of z", "observed z", "local p"]
    listed = Table(
        f"The choices of {found.get('name', 'the list')}",
        heads,
        rows,
        "study/choices.json",
        "choices",
        note=(
            f"{found['complete']} experiments without signal in which all fits converged. Local p is the rank of the observed z"
            " among the experiments of this choice."
            + (f" This analysis is '{here}'." if here else " This analysis itself is none of them.")
        ),
    )
    return [_global_table(found), listed]


def _rank(p: float, experiments: int) -> Cell:
    """Return a local p; that of a z beyond all experiments is a bound."""
    beyond = p * (1 + experiments) < 1.5  # the ranks are whole numbers
    return Cell(f"< {p_value(p)}" if beyond else p_value(p), p, "beyond all experiments" if beyond else "")


def _global_table(found: Mapping[str, Any]) -> Table:
    """Return the global p of significances, and of what was observed."""
    number = len(found["choices"])
    rows = []
    for row in found["trials"]:
        known = row["trials"] is not None
        interval = f"{row['trials']:.1f} [{row['trials_low']:.1f}, {row['trials_high']:.1f}]" if known else "–"
        rows.append(
            [
                Cell(f"{row['sigma']:g} σ somewhere", row["sigma"]),
                Cell(p_value(row["global_p"]), row["global_p"]) if known else _NONE,
                Cell(interval, row["trials"]) if known else _NONE,
                Cell(p_value(row["copula_p"]), row["copula_p"]),
                Cell(p_value(row["independent_p"]), row["independent_p"]),
            ]
        )
    if seen := found.get("global"):
        counted = p_value(seen["p_value"]) if seen["bound"] is None else f"< {p_value(seen['bound']['p_below'])}"
        if seen["bound"] is None and seen["saturated"]:
            counted = f"< {counted}"
        rows.append(
            [
                Cell(f"observed: {seen['observed_z']:.2f} in '{seen['choice']}'", seen["local_z"]),
                Cell(counted, seen["p_value"]),
                _NONE,
                Cell(f"{p_value(seen['copula']['p'])} (z {seen['copula']['z']:.2f})", seen["copula"]["p"]),
                _NONE,
            ]
        )
    return Table(
        f"How much the largest of {number} choices is worth",
        ["Local significance", "global p, counted", "independent choices", "by the copula", f"of {number} independent"],
        rows,
        "study/choices.json",
        "trials",
        anchor=CHOICES,
        note=(
            "Global p: how often the most significant choice of an experiment without signal is as significant. Independent"
            " choices: how many of these would be as significant as often. The copula is an extrapolation beyond what is"
            " counted. What somebody would have tried after seeing other data is in no list."
        ),
    )


def _signals(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield the signals of a study of injection: name, numbers, whether no setting was chosen on it."""
    yield str(found["signal"]), found, False
    for name, one in found.get("hold_out", {}).items():
        yield name, one, True


def injection_tables(artifacts: Artifacts) -> list[Table]:
    """Return what each search needs for 3 and 5 sigma, and what this analysis fits; nothing without a study."""
    found = current_study(artifacts, "injection")
    if found is None:
        return []
    largest = max(found["strengths"])
    rows, fits = [], []
    for signal, one, held in _signals(found):
        label = str(artifacts.process(signal)["label"]) + (" (held out)" if held else "")
        for name, method in one["methods"].items():
            none = next((r for r in method["strengths"] if r["injected"] == 0 and "z" in r), None)
            needed = [
                Cell("not reached") if method[f"for_{sigma}"] is None else _number(method[f"for_{sigma}"], ".3g")
                for sigma in (3, 5)
            ]
            rows.append([Cell(label), Cell(name), *needed, _number(none["z"]["median"] if none else None)])
        fits += [[Cell(label), *_fitted(row)] for row in one["methods"]["this analysis"]["strengths"] if "z" in row]
    experiments = f"{found['experiments']} experiments of {found['luminosity_pb']:.4g} /pb for each strength"
    return [
        Table(
            "The strength with an expected significance of 3 and of 5, of all searches",
            ["Signal", "Search", "3 σ at", "5 σ at", "median z without signal"],
            rows,
            "study/injection.json",
            "methods",
            anchor=INJECTION,
            note=(
                f"{experiments}, up to {largest:.3g}, in units of the stated cross section; all searches see the same events."
                " The classifier is trained on the signal itself, so it is a bound. Held out: no setting was chosen on it."
            ),
        ),
        Table(
            "This analysis with an injected signal",
            [
                *("Signal", "injected", "median z", "68 % of z", "95 % of z", "above 3 σ"),
                *("fitted", "bias", "covered at 68 %", "at 95 %", "failed"),
            ],
            fits,
            "study/injection.json",
            "methods.this analysis.strengths",
            note=f"{experiments}. Fitted: the mean, with its error; covered: how often intervals hold the injected strength.",
        ),
    ]


def _fitted(row: Mapping[str, Any]) -> list[Cell]:
    z, strength = row["z"], row["strength"]

    def band(level: int) -> Cell:
        text = " to ".join(f"{z[f'{end}_{level}']:.2f}".replace("-", "\N{MINUS SIGN}") for end in ("low", "high"))
        return Cell(text, z[f"high_{level}"])

    def share(one: Mapping[str, float]) -> Cell:
        return Cell(f"{one['share']:.2f} [{one['low']:.2f}, {one['high']:.2f}]", one["share"])

    return [
        _number(row["injected"], ".3g"),
        _number(z["median"], ".2f", f"± {z['median_error']:.2f}"),
        band(68),
        band(95),
        share(row["above_3"]),
        Cell(with_error(strength["mean"], strength["mean_error"]), strength["mean"]),
        Cell(with_error(strength["bias"], strength["mean_error"]), strength["bias"]),
        share(row["coverage"]["68"]),
        share(row["coverage"]["95"]),
        Cell(count(row["failed"]), row["failed"]),
    ]


def sculpting_tables(artifacts: Artifacts) -> list[Table]:
    """Return the divergence and the spurious signal by region and threshold; nothing without a study."""
    found = current_study(artifacts, "sculpting")
    if found is None:
        return []
    rows = []
    undecided = False
    for region, one in found["regions"].items():
        for row in one["efficiencies"]:
            divergence = row["divergence"]
            known = divergence["bits"] is not None
            excess = f"{divergence['excess']:+.4f} ± {divergence['spread']:.4f}" if known else "too few events"
            undecided |= not row["spurious_simulation"]["decided"]
            rows.append(
                [
                    Cell(region),
                    Cell(f"{100 * row['efficiency']:g}", row["efficiency"]),
                    Cell(excess.replace("-", "\N{MINUS SIGN}"), divergence["excess"]),
                    Cell(p_value(divergence["p_value"]), divergence["p_value"]) if known else _NONE,
                    _largest(row["spurious_simulation"]),
                    _largest(row["spurious_mixed"]),
                ]
            )
    correlations = ", ".join(
        f"{region} p = {p_value(one['correlation']['p_value'])}"
        if one["correlation"]["p_value"] is not None
        else f"{region} not measured ({one['correlation']['why']})"
        for region, one in found["regions"].items()
    )
    small = " Where the uncertainty is above 0.2, the sample is too small to apply the criterion." if undecided else ""
    return [
        Table(
            f"Does '{found['score']}' change {found['observable']} of {found['process']}?",
            [
                "Region",
                "efficiency [%]",
                "divergence − chance [bits]",
                "its p",
                "spurious signal",
                "of independent jets",
            ],
            rows,
            "study/sculpting.json",
            "regions",
            anchor=SCULPTING,
            note=(
                "Divergence: Jensen-Shannon, of events that pass from those that fail, less that of random divisions. Spurious"
                " signal: the largest narrow peak in A - B C / D of simulation alone, over the error of an experiment of"
                f" {found['luminosity_pb']:.4g} /pb; 0.2 in size is the usual limit.{small} Distance correlation of the scores:"
                f" {correlations}."
            ),
        )
    ]


def _largest(found: Mapping[str, Any]) -> Cell:
    if (largest := found["largest"]) is None:
        return _NONE
    text = f"{largest['ratio']:+.2f} ± {largest['uncertainty']:.2f}".replace("-", "\N{MINUS SIGN}")
    return Cell(text, largest["ratio"], f"at {largest['mass']:.0f} GeV")
