"""The bank that an analysis names for its closure: read, if its events are of this analysis."""

from __future__ import annotations

from oddjets.selection.closure_bank import ClosureBank
from oddjets.selection.decorators import HasCuts
from oddjets.selection.normalisation import total_luminosity
from oddjets.study.bank import Bank
from oddjets.workflow.bank_validation import why_unused
from oddjets.workflow.run import RunContext

__all__ = ["read_closure_bank"]


def read_closure_bank(run: RunContext, processor: HasCuts) -> tuple[ClosureBank | None, str]:
    """Return the events of the bank that the closure of an analysis asks for.

    Args:
        run: the analysis and its folder, whose stage `process` is done.
        processor: has the base selection.

    Returns:
        None where it asks for none, or where the bank is of other events than the analysis; and a sentence that says of which.

    Raises:
        InputFileError: there is no such file, or it is no bank.
    """
    analysis = run.analysis
    file, process = analysis.closure_bank, analysis.data_driven
    if file is None or process is None:
        return None, ""
    if reason := why_unused(analysis, run.resolved.cards, processor):
        return None, reason
    (columns,) = Bank.open(file).with_combinations(analysis, run.event_tables).tables(process)
    luminosity = total_luminosity(run.luminosity_pb)
    return ClosureBank.select(file.name, process, columns, processor, luminosity), ""
