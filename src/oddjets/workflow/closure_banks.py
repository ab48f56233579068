"""The bank that an analysis names for its closure: read, if its events are of this analysis."""

from __future__ import annotations

from oddjets.core.errors import OddjetsError
from oddjets.selection.closure_bank import ClosureBank
from oddjets.selection.decorators import HasCuts
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.normalisation import total_luminosity
from oddjets.study.bank import Bank
from oddjets.workflow.banks import card_of
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
    bank = Bank.open(file)
    unused = "; the closure is measured on the simulation of the analysis itself"
    if not isinstance(analysis.era, str):
        return None, f"{bank.file.name} has one era, and the analysis several{unused}"
    try:
        bank.require_fit(analysis, card_of(run), processes=(process,))
    except OddjetsError as error:
        return None, f"{error}{unused}"
    made, own = bank.card.get("simulate") or {}, analysis.simulate
    if own is not None and made.get("seed") == own.seed:
        return None, f"{bank.file.name} has the seed of the analysis itself, {own.seed}{unused}"
    (columns,) = bank.tables(process)
    if lacking := [name for name in columns_needed(analysis, processor) if name not in columns]:
        return None, f"{bank.file.name} has no column '{lacking[0]}', which the analysis needs{unused}"
    luminosity = total_luminosity(run.luminosity_pb)
    return ClosureBank.select(bank.file.name, process, columns, processor, luminosity), ""
