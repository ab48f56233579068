"""The columns that are known before a file is read are those that a processor makes of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.analyses import analysis
from helpers.chunks import chunk_of
from helpers.toy_nano import toy_nano

from oddjets.corrections.lookups import Era
from oddjets.io import paper_npz
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.processor_loader import find_processor
from oddjets.selection.table_columns import unknown_columns

SCORES = {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["dijet_anomaly.py:DijetAnomaly", "minimal.py:Minimal"])
def test_every_column_of_a_table_may_be_an_observable(tmp_path: Path, name: str) -> None:
    changes = {
        "scores": SCORES,
        "threshold": {"score": "xbb", "value": 0.5},
        "systematics": [],
        "regions": {},
        "fit": None,
    }
    plain = analysis(**changes)
    source = find_processor(name, tmp_path).load()
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    events = chunk_of(toy_nano(tmp_path / "top.root", 20, seed=3), **metadata)
    columns, _ = source(plain, Era(name="simulation"), Path(), {}).table(events)
    assert {"tau21_1", "tau32_2"} & columns.keys()
    shown = {column: {"expression": column, "label": column, "bins": 2, "range": [0, 1]} for column in columns}
    asked = analysis(**changes, observables=shown | {"wrong": {**shown["mjj"], "expression": "mjj + mij"}})
    made: DijetProcessor = source(asked, Era(name="simulation"), Path(), {})
    assert unknown_columns(asked, made) == {"observables.wrong.expression": "no column 'mij'; did you mean 'mjj'?"}


def test_imported_files_have_columns_of_their_own() -> None:
    names = ["tau21_1", "trigger_muon", "passes_certified", "score_sum_2"]
    shown = {name: {"expression": name, "label": name, "bins": 2, "range": [0, 1]} for name in names}
    asked = analysis(
        npz={"folder": "none"},
        fileset=None,
        scores={"sum": {"column": paper_npz.PREDICTION}},
        threshold={"score": "sum", "value": 0.5},
        observables=shown,
        regions={},
        fit=None,
    )
    made = DijetProcessor(asked, Era(name="simulation"), Path(), {})
    assert [*unknown_columns(asked, made)] == ["observables.passes_certified.expression", "cut 'trigger'"]
