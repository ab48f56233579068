"""The last step of the stage `process`: what combinations of scores are made with, found from the data of the event tables."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.config.combinations import combinations_of
from oddjets.core.console import console
from oddjets.io.combined_scores import COMBINED_SCORES, FEW_JETS
from oddjets.scoring.tail_probabilities import combine_scores, missing_scores
from oddjets.workflow.executors.records import EVENTS

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["has_combined_scores", "remove_combined_scores", "write_combined_scores"]


def has_combined_scores(run: RunContext, extra: Mapping[str, Any]) -> bool:
    """Tell whether the file of combinations is there, if the manifest says that there is one."""
    return not extra.get("combinations") or (run.out / EVENTS / COMBINED_SCORES).is_file()


def remove_combined_scores(run: RunContext) -> None:
    """Remove the file of combinations of an earlier state, with which nobody should read the new tables."""
    (run.out / EVENTS / COMBINED_SCORES).unlink(missing_ok=True)


def write_combined_scores(run: RunContext, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write the file of combinations beside the event tables.

    Args:
        run: the analysis and its folder, whose event tables are complete.
        datasets: name -> ``is_data`` and ``rows``.

    Returns:
        What the manifest says: ``combinations``, from `oddjets.scoring.tail_probabilities.combine_scores`, and
        ``missing_scores``, dataset -> component -> jets without a number. Nothing where no score is a combination.

    Raises:
        OddjetsError: there are no data, a component is the same for all jets, or a bin of a flat score has no data.
    """
    scores = run.analysis.scores
    remove_combined_scores(run)
    if not combinations_of(scores):
        return {}
    folder = run.out / EVENTS
    if run.combined_from is not None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.combined_from / EVENTS / COMBINED_SCORES, folder / COMBINED_SCORES)
        return {"combinations": {name: {"how": "as recorded"} for name in combinations_of(scores)}}
    data = {name: found["rows"] for name, found in datasets.items() if found["is_data"]}
    simulate = run.analysis.simulate
    if not data and simulate is not None and simulate.luminosity is None:
        # a sample of templates alone, such as that of a bank, whose readers have data of their own
        console.print(f"process: no data, so that {escape(', '.join(combinations_of(scores)))} cannot be made here")
        return {}
    combined, made = combine_scores(scores, folder, data)
    combined.save(folder)
    missing = missing_scores(scores, folder, [name for name, found in datasets.items() if found["rows"]])
    for name, found in made.items():
        powers = found.get("weights") or [1.0] * len(found["of"])
        of = [
            one if power == 1 else f"{one} to the power of {power:g}"
            for one, power in zip(found["of"], powers, strict=True)
        ]
        console.print(
            f"process: score '{escape(name)}': {found['how']} of tail probabilities of {escape(', '.join(of))} in"
            f" {found['jets']} jets of data"
        )
        if few := found.get("few_jets"):
            console.print(
                f"[bold yellow]scores.{escape(name)}.flat_in: {len(few)} of {found['bins']} bins have fewer than"
                f" {FEW_JETS} jets of data[/bold yellow], {few[0]} the first: no jet of such a bin can be odder than the"
                " oddest of so few; wider bins have more"
            )
    for dataset, counts in missing.items():
        said = ", ".join(f"{n} jets without '{component}'" for component, n in counts.items())
        console.print(
            f"[bold yellow]dataset '{escape(dataset)}': {escape(said)}[/bold yellow]: they count as less odd than all others"
        )
    return {"combinations": made, **({"missing_scores": missing} if missing else {})}
