"""RNTuples with thousands of fields, opened as fast as trees."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from uproot.behaviors.RNTuple import HasFields

__all__ = ["with_known_fields"]


def with_known_fields(tree: Any) -> Any:
    """Tell an RNTuple which fields lie under which, and return it; a TTree is returned as it is.

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
        """The fields under a field; those without a name of their own are represented by what is under them."""
        found = fields[i]
        # uproot keeps what it found in this attribute, and looks only where it is None
        if found._fields is None:
            found._fields = [
                named_one for j in below[i] for named_one in (named(j) if fields[j].is_anonymous else [fields[j]])
            ]
        children: list[Any] = found._fields
        return children

    for i in range(len(fields)):
        named(i)
    return tree
