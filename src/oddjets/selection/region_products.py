"""Regions as products of cuts on each jet, or as unions of such products.

A = B C / D holds for independent jets where a region is a product: what is asked of one jet does not depend on the other.
"At least one jet passes" is the union of three products that share no event: both jets pass, only the leading one, only
the subleading one. `describe_region` finds out which of them a region is, from the cuts that are declared as cuts on single
jets and from the columns that cuts on events read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.regions import QUANTIFIERS, Quantifier, Region, negated_cut, split_cut
from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import JETS, EventTable
from oddjets.selection.decorators import HasCuts
from oddjets.selection.needed_columns import columns_read
from oddjets.selection.regions import region_mask

__all__ = [
    "JetRequirement",
    "ProductCell",
    "RegionDescription",
    "cell_masks",
    "describe_region",
    "impossible_regions",
    "with_cells",
]

Mask = npt.NDArray[np.bool_]

#: columns of an event that no jet of the pair decides; an event keeps them when its jets are paired anew
_OF_EVENT = (
    "run",
    "luminosityBlock",
    "event",
    "weight",
    "n_muons",
    "n_electrons",
    "passes_filters",
    "passes_certified",
)
#: what a quantifier asks in the products that it is the union of: which of leading and subleading jet pass
_PASSING: dict[Quantifier, dict[str, tuple[bool | None, bool | None]]] = {
    "all": {"": (True, True)},
    "any": {"both": (True, True), "leading": (True, False), "subleading": (False, True)},
    "leading": {"": (True, None)},
    "subleading": {"": (None, True)},
}
_NEGATED: dict[Quantifier, Quantifier] = {"all": "any", "any": "all", "leading": "leading", "subleading": "subleading"}


@dataclass(frozen=True)
class JetRequirement:
    """A condition of a region on single jets.

    Attributes:
        quantifier: which of the two jets: all, any, leading or subleading.
        cuts: cuts on single jets, with ``not`` where negated; a jet passes if it passes all of them.
        negated: a jet passes if it does not pass all of the cuts.
    """

    quantifier: Quantifier
    cuts: tuple[str, ...]
    negated: bool = False

    def passing(self, jets: Mapping[str, Mask]) -> Mask:
        """Return which jets pass, (2, n), from the masks of all cuts on single jets."""
        masks = [~jets[name] if negated else jets[name] for name, negated in map(split_cut, self.cuts)]
        return np.asarray(np.logical_and.reduce(masks) ^ self.negated)

    def opposite(self) -> JetRequirement:
        """Return what events that do not pass pass."""
        quantifier = _NEGATED[self.quantifier]
        if len(self.cuts) == 1 and not self.negated:
            name, negated = split_cut(self.cuts[0])
            return JetRequirement(quantifier, (name if negated else negated_cut(name),))
        return JetRequirement(quantifier, self.cuts, not self.negated)


@dataclass(frozen=True)
class ProductCell:
    """One of the products that a union consists of.

    Attributes:
        name: which jets pass each ``any`` of the region: ``both``, ``leading`` or ``subleading``, joined by ``_``.
        passing: for each requirement of the region, whether the leading and the subleading jet pass; None: not asked.
    """

    name: str
    passing: tuple[tuple[bool | None, bool | None], ...]


@dataclass(frozen=True)
class RegionDescription:
    """The conditions of a region, on single jets and on events.

    Attributes:
        name: the region.
        requirements: what it asks of single jets; all of them must be met.
        event_cuts: cuts on events, with ``not`` where negated.
        unknown: why it is neither a product nor a union of products, as far as the program can tell; empty if it is one.
    """

    name: str
    requirements: tuple[JetRequirement, ...]
    event_cuts: tuple[str, ...]
    unknown: str = ""

    @property
    def is_union(self) -> bool:
        """Whether it is a union of products: at least one jet must pass something."""
        return not self.unknown and any(r.quantifier == "any" for r in self.requirements)

    @property
    def is_product(self) -> bool:
        """Whether it asks something of each jet whatever the other one is."""
        return not self.unknown and not self.is_union

    @property
    def cells(self) -> tuple[ProductCell, ...]:
        """The products that it is the union of, which share no event; a product is its only cell, without a name.

        Raises:
            OddjetsError: it is neither.
        """
        if self.unknown:
            raise OddjetsError(
                f"region '{self.name}' is neither a product of cuts on each jet nor a union of such products: {self.unknown};"
                " declare its cuts on single jets with @jet_cut, and say which jets pass: all, any, leading or subleading"
            )
        return self._possible

    @property
    def is_impossible(self) -> bool:
        """Whether no event can pass, since its cuts contradict each other."""
        bare = dict.fromkeys(map(split_cut, self.event_cuts))
        return not self._possible or any((name, not negated) in bare for name, negated in bare)

    @property
    def _possible(self) -> tuple[ProductCell, ...]:
        choices = [_PASSING[requirement.quantifier].items() for requirement in self.requirements]
        cells = (
            ProductCell("_".join(name for name, _ in chosen if name), tuple(passing for _, passing in chosen))
            for chosen in itertools.product(*choices)
        )
        return tuple(cell for cell in cells if all(_is_possible(self.requirements, cell, jet) for jet in (0, 1)))


def _is_possible(requirements: tuple[JetRequirement, ...], cell: ProductCell, jet: int) -> bool:
    """Return whether what a cell asks of a jet does not contradict itself, as ``all: tagged, any: not tagged`` does."""
    wanted = [passing[jet] for passing in cell.passing]
    decided: dict[str, bool] = {}
    open_questions = []
    for requirement, value in zip(requirements, wanted, strict=True):
        literals = [(name, not negated) for name, negated in map(split_cut, requirement.cuts)]
        if value is None:
            continue
        if value != requirement.negated:
            conjunction = literals
        elif len(literals) == 1:
            conjunction = [(name, not true) for name, true in literals]
        else:
            open_questions.append(literals)
            continue
        if any(decided.setdefault(name, true) != true for name, true in conjunction):
            return False
    return not any(all(decided.get(name) == true for name, true in literals) for literals in open_questions)


def describe_region(analysis: Analysis, processor: HasCuts, region: str) -> RegionDescription:
    """Find out what a region asks of each jet.

    Args:
        analysis: holds the regions.
        processor: has the cuts as methods.
        region: its name.
    """
    return _describe(analysis, region, lambda cut: _reads_both(processor, cut))


def impossible_regions(analysis: Analysis) -> dict[str, str]:
    """Check that the cuts of regions do not contradict each other, as far as their names tell.

    Args:
        analysis: its regions refer to regions that there are, without circles.

    Returns:
        Region to the problem it has; empty if there is none.
    """
    found = {}
    for name, region in analysis.regions.items():
        if _describe(analysis, name, lambda cut: "").is_impossible:
            # as they were written
            written = {key: getattr(region, key) for key in (*QUANTIFIERS, "cuts")}
            asked = [f"{key}: {', '.join(cuts)}" for key, cuts in written.items() if cuts]
            found[name] = f"no event can pass, since its cuts contradict each other ({'; '.join(asked)})"
    return found


def _describe(analysis: Analysis, region: str, unknown_of: Callable[[str], str]) -> RegionDescription:
    asked = analysis.regions[region]
    requirements = [JetRequirement(quantifier, cuts) for quantifier, cuts in asked.of_jets.items()]
    event_cuts: list[str] = []
    unknown = ""
    for cut in asked.of_events:
        name, negated = split_cut(cut)
        if name not in analysis.regions:
            event_cuts.append(cut)
            unknown = unknown or unknown_of(name)
            continue
        inner = _describe(analysis, name, unknown_of)
        unknown = unknown or inner.unknown
        if not negated:
            requirements += inner.requirements
            event_cuts += inner.event_cuts
        elif len(inner.requirements) == 1 and not inner.event_cuts:
            requirements.append(inner.requirements[0].opposite())
        elif len(inner.event_cuts) == 1 and not inner.requirements:
            bare, twice = split_cut(inner.event_cuts[0])
            event_cuts.append(bare if twice else negated_cut(bare))
        else:
            unknown = unknown or f"'{cut}' negates a region of several cuts"
    return RegionDescription(region, tuple(dict.fromkeys(requirements)), tuple(dict.fromkeys(event_cuts)), unknown)


def with_cells(analysis: Analysis, processor: HasCuts, names: Sequence[str]) -> Analysis:
    """Return an analysis in which the product cells of unions are regions of their own.

    Args:
        analysis: holds the regions; cells that it has already are made anew.
        processor: has the cuts as methods.
        names: the regions; a product has no cells apart from itself.

    Returns:
        The analysis with regions called ``REGION_CELL`` with ``part_of: REGION``, after the others.

    Raises:
        OddjetsError: a region is neither a product nor a union of products, a cell cannot be said by cuts that a jet passes,
            or there is a region of its name.
    """
    plain = {name: region for name, region in analysis.regions.items() if region.part_of is None}
    asked = analysis.model_copy(update={"regions": plain})
    cells: dict[str, Region] = {}
    for name in names:
        description = describe_region(asked, processor, name)
        for cell in description.cells if not description.is_product else ():
            place = f"{name}_{cell.name}"
            if place in plain:
                raise OddjetsError(
                    f"region '{name}': its cell '{cell.name}' would be the region '{place}', which there is"
                )
            of_jets = [_cuts_of_jet(description, cell, jet) for jet in (0, 1)]
            cells[place] = Region(
                leading=of_jets[0],
                subleading=of_jets[1],
                cuts=description.event_cuts,
                label=f"{plain[name].label or name}: {cell.name.replace('_', ', ')}",
                binning=plain[name].binning,
                part_of=name,
            )
    return asked.model_copy(update={"regions": {**plain, **cells}})


def _cuts_of_jet(description: RegionDescription, cell: ProductCell, jet: int) -> tuple[str, ...]:
    """Return the cuts that a jet passes in a cell."""
    found: list[str] = []
    for requirement, passing in zip(description.requirements, cell.passing, strict=True):
        if passing[jet] is None:
            continue
        if passing[jet] != requirement.negated:
            found += requirement.cuts
        elif len(requirement.cuts) == 1:
            found += requirement.opposite().cuts
        else:
            raise OddjetsError(
                f"region '{description.name}': a jet that fails one of {', '.join(requirement.cuts)} passes no list of cuts, so"
                " the region has no product cells; declare one @jet_cut that asks all of them"
            )
    return tuple(dict.fromkeys(found))


def cell_masks(
    analysis: Analysis,
    processor: HasCuts,
    description: RegionDescription,
    jets: Mapping[str, Mask],
    table: EventTable,
) -> dict[str, Mask]:
    """Return which events of a table are in each product cell of a region, on top of the base selection.

    Args:
        analysis: holds the regions.
        processor: has the cuts as methods.
        description: of the region.
        jets: `oddjets.selection.regions.jet_masks` of the table.
        table: the events, as one variation sees them.

    Returns:
        Name of the cell -> mask of shape (n,); together they are the mask of the region, and they share no event.

    Raises:
        OddjetsError: the region is neither a product nor a union of products.
    """
    inside = region_mask(analysis, processor, description.name, table)
    passing = [requirement.passing(jets) for requirement in description.requirements]
    found = {}
    for cell in description.cells:
        mask = inside.copy()
        for of_jets, wanted in zip(passing, cell.passing, strict=True):
            for jet, value in zip(of_jets, wanted, strict=True):
                mask &= True if value is None else jet == value
        found[cell.name] = mask
    return found


def _reads_both(processor: HasCuts, cut: str) -> str:
    """Return why a cut on events may tie the two jets to each other; empty if it reads one jet, or none."""
    read = columns_read(processor, cut)
    jets = {name[-1] for name in read if name.endswith(tuple(f"_{j}" for j in JETS))}
    other = sorted(
        name
        for name in read
        if name[-2:] not in ("_1", "_2") and name not in _OF_EVENT and not name.startswith("trigger_")
    )
    if len(jets) > 1:
        return f"the cut '{cut}' reads columns of both jets"
    if other:
        return f"the cut '{cut}' reads '{other[0]}', which both jets may decide"
    return ""
