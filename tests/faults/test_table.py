"""The page of faults is what the tests say."""

from __future__ import annotations

from helpers import fault_table


def test_the_page_is_what_the_tests_say():
    page = fault_table.PAGE.read_text(encoding="utf-8")
    assert page == fault_table.table(), "run `python tests/helpers/fault_table.py`"


def test_a_promise_is_a_sentence_that_fits_a_table():
    for fault in fault_table.faults():
        assert fault.promise.endswith("."), fault
        assert "|" not in fault.name + fault.promise, fault
        assert "\n" not in fault.promise, fault


def test_every_fault_that_must_have_a_test_has_one():
    tested = {fault.name for fault in fault_table.faults()}
    assert not [name for name in fault_table.NAMES if name not in tested]
