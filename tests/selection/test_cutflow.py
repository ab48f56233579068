"""The cutflow and the n-1 table of a chunk: counts and sums of weights of masks that are known."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.analyses import analysis
from pydantic import ValidationError

from oddjets.core.errors import OddjetsError
from oddjets.corrections.lookups import Era
from oddjets.io.event_table import EventTable
from oddjets.selection.processor import DijetProcessor, cut

N = 2000
rng = np.random.default_rng(5)
COLUMNS = {"event": np.arange(N)} | {name: rng.random(N) < 0.7 for name in ("a", "b", "c")}
#: of both signs and many sizes, so that another order of summation is another number
GENERATOR = rng.normal(size=N) * 10 ** rng.uniform(-3, 3, N)


class Masks(DijetProcessor):
    """Cuts that are columns."""

    @cut
    def a(self, table):
        return table["a"]

    @cut
    def b(self, table):
        return table["b"]

    @cut
    def c(self, table):
        return table["c"]


def processor_of(*cuts):
    return Masks(analysis(selection={"triggers": ["x"], "cuts": list(cuts)}), Era(name="x"), Path(), {})


def passing(*cuts):
    return np.logical_and.reduce([COLUMNS[name] for name in cuts] or [np.ones(N, dtype=bool)])


@pytest.mark.parametrize("cuts", [(), ("a",), ("a", "b", "c"), ("c", "a"), ("a", "b", "a")], ids=len)
def test_counts_are_those_of_the_masks_in_every_bit(cuts):
    counts = processor_of(*cuts)._count(COLUMNS, GENERATOR, Counter())
    flow = [passing(*cuts[:i]) for i in range(len(cuts) + 1)]
    others = [passing(*cuts[:i], *cuts[i + 1 :]) for i in range(len(cuts))]
    assert counts.entries == N
    assert counts.raw == [int(mask.sum()) for mask in flow]
    assert counts.weighted == [float(GENERATOR[mask].sum()) for mask in flow]
    assert counts.n_minus_1 == [(int(mask.sum()), float(GENERATOR[mask].sum())) for mask in others]


@pytest.mark.parametrize("cuts", [(), ("b",), ("a", "b", "c")], ids=len)
def test_the_base_selection_is_the_last_row_of_the_cutflow(cuts):
    np.testing.assert_array_equal(processor_of(*cuts).passing(EventTable(COLUMNS)), passing(*cuts))


def test_an_empty_chunk_counts_nothing():
    empty = {name: values[:0] for name, values in COLUMNS.items()}
    counts = processor_of("a", "b")._count(empty, GENERATOR[:0], Counter())
    assert (counts.raw, counts.weighted, counts.n_minus_1) == ([0, 0, 0], [0.0, 0.0, 0.0], [(0, 0.0), (0, 0.0)])


def test_a_mask_of_another_length_is_named():
    class Short(Masks):
        @cut
        def a(self, table):
            return table["a"][:1]

    short = Short(analysis(selection={"triggers": ["x"], "cuts": ["a"]}), Era(name="x"), Path(), {})
    with pytest.raises(OddjetsError, match=r"cut 'a' returns values of type bool and shape \(1,\)"):
        short.passing(EventTable(COLUMNS))


def test_as_many_cuts_as_a_packed_selection_holds_and_no_more():
    names = [f"c{i}" for i in range(64)]
    always = {name: cut(lambda self, table: table["a"]) for name in names[:63]}
    made = type("Many", (Masks,), always)
    asked = analysis(selection={"triggers": ["x"], "cuts": names[:63]})
    assert len(made(asked, Era(name="x"), Path(), {})._count(COLUMNS, GENERATOR, Counter()).raw) == 64
    with pytest.raises(ValidationError, match="at most 63 items"):
        analysis(selection={"triggers": ["x"], "cuts": names})
