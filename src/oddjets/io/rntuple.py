"""Faster opening of RNTuples with thousands of fields."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from uproot.behaviors.RNTuple import HasFields

__all__ = ["index_fields"]


def index_fields(tree: Any) -> Any:
    """Find the subfields of all fields of an RNTuple at once, and return it; a TTree is returned unchanged.

    uproot finds the fields under a field when they are first asked for, and looks through all fields of the file to find them.
    coffea asks every field, which made ten million comparisons for the 3100 fields of a CMS file: 4.7 of the 5.2 s that ten
    events took. Here one pass finds all of them.

    Args:
        tree: of uproot, from an open file. uproot keeps it with the file, whose next reader gets the same one.
    """
    if not isinstance(tree, HasFields):
        return tree
    fields = tree.ntuple.all_fields
    below: dict[int, list[int]] = defaultdict(list)
    for i, record in enumerate(tree.ntuple.field_records):
        # at the top, a field is its own parent
        if record.parent_field_id != i:
            below[record.parent_field_id].append(i)

    def named(i: int) -> list[Any]:
        """Return the fields under a field; anonymous ones are replaced by the fields under them."""
        # uproot keeps what it found in this attribute of its own, and looks only where it is None
        kept = vars(fields[i])
        if kept["_fields"] is None:
            kept["_fields"] = [
                child for j in below[i] for child in (named(j) if fields[j].is_anonymous else [fields[j]])
            ]
        children: list[Any] = kept["_fields"]
        return children

    for i in range(len(fields)):
        named(i)
    return tree
