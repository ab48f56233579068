"""Classes of events that are alike in all cuts on single jets, for experiments whose scores know nothing of each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.regions import split_cut
from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import EventTable
from oddjets.selection.decorators import HasCuts
from oddjets.selection.region_products import describe_region
from oddjets.selection.regions import jet_masks
from oddjets.study.events import JetClasses

__all__ = ["classes_of", "used_by_fit"]


def used_by_fit(analysis: Analysis, processor: HasCuts) -> Analysis:
    """Return the same analysis with no other regions than those of its fit and what they refer to.

    Raises:
        OddjetsError: one of them is neither a product of cuts on each jet nor a union of such products, so that nobody can say
            what independent jets would do there.
    """
    assert analysis.fit is not None
    wanted, found = list(analysis.fit.regions), set()
    for name in wanted:
        # asks for the cells, of which there are none then
        if not describe_region(analysis, processor, name).cells:
            raise OddjetsError(f"region '{name}' has no event by its own cuts")
    while wanted:
        name = wanted.pop()
        if name not in found and name in analysis.regions:
            found.add(name)
            wanted += [split_cut(cut)[0] for cut in analysis.regions[name].of_events]
    ordered = {name: region for name, region in analysis.regions.items() if name in found}
    return analysis.model_copy(update={"regions": ordered})


def classes_of(analysis: Analysis, processor: HasCuts) -> JetClasses:
    """Return the numbers of events' cuts on single jets, as far as the regions of the fit use them.

    Args:
        analysis: the analysis.
        processor: has the cuts.

    Returns:
        A function of an event table; it returns a number for each jet, shape (2, n): equal numbers, equal cuts.
    """
    used = used_by_fit(analysis, processor)

    def number(table: EventTable) -> npt.NDArray[np.int64]:
        found = np.zeros((2, table.size), np.int64)
        for mask in jet_masks(used, processor, table).values():
            found = 2 * found + mask
        return found

    return number
