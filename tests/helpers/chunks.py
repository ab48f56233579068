"""Copies of NanoAOD files with something changed, and chunks of files as coffea's runner makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
import yaml
from coffea.nanoevents import NanoEventsFactory
from helpers import analyses

from oddjets.config.analysis import load_analysis
from oddjets.io import nanoaod_schema
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

Columns = dict[str, ak.Array]


def chunk_of(path: Path, start: int = 0, stop: int | None = None, log: list[Any] | None = None, **metadata: Any) -> Any:
    """A chunk of a file, its virtual branches noted in ``log`` when they are read."""
    known = {"dataset": "test", "filename": str(path), "fileuuid": "0", "entrystart": start, "entrystop": stop}
    file = uproot.open(path)
    factory = NanoEventsFactory.from_root(
        file,
        treepath="Events",
        schemaclass=nanoaod_schema.PFNano,
        mode="virtual",
        entry_start=start,
        entry_stop=stop,
        metadata=known | metadata,
        access_log=log,
    )
    return factory.events()


def copy(
    source: Path,
    target: Path,
    change: Callable[[Columns], None] | None = None,
    *,
    stop: int | None = None,
    branches: Any = None,
    rntuple: bool = False,
) -> Path:
    """Copy Events and Runs of a file.

    Args:
        source: NanoAOD.
        target: the new file.
        change: adds, removes or replaces branches, by their flat names.
        stop: copy the first events alone.
        branches: uproot's filter of names.
        rntuple: write RNTuples instead of TTrees.
    """
    with uproot.open(source) as file:
        events = file["Events"].arrays(filter_name=branches, entry_stop=stop, how=dict)
        runs = file["Runs"].arrays(filter_name="genEventSumw", how=dict) if "Runs" in file else {}
    if change is not None:
        change(events)
    with uproot.recreate(target) as out:
        if rntuple:
            out["Events"] = events
            if runs:
                out["Runs"] = runs
            return target
        columns = _collections(events)
        types = {k: v.type.content if v.ndim > 1 else ak.to_numpy(v).dtype for k, v in columns.items()}
        tree = out.mktree("Events", types, counter_name=lambda collection: f"n{collection}")
        if len(events["event"]):
            tree.extend({k: v if v.ndim > 1 else ak.to_numpy(v) for k, v in columns.items()})
        if runs:
            out.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.asarray(runs["genEventSumw"])})
    return target


def _collections(events: Columns) -> Columns:
    """Jagged branches zipped to collections, counters left out, as uproot's writer of TTrees wants it."""
    flat = {k: v for k, v in events.items() if v.ndim == 1 and f"{k[1:]}" not in _jagged(events)}
    for name in _jagged(events):
        fields = {k.removeprefix(f"{name}_"): v for k, v in events.items() if v.ndim > 1 and k.split("_")[0] == name}
        flat[name] = events[name] if name in events else ak.zip(fields)
    return flat


def _jagged(events: Columns) -> set[str]:
    return {k.split("_")[0] for k, v in events.items() if v.ndim > 1}


def write_analysis(folder: Path, datasets: dict[str, Any], **changes: Any) -> Path:
    """Write the small analysis, for files.

    Args:
        folder: for the YAML and the output.
        datasets: name to a file or a list of them; a name that begins with "data" is data.
        changes: top-level keys of the analysis.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fileset = {}
    for name, files in datasets.items():
        is_data = name.startswith("data")
        metadata = {"process": "data" if is_data else "top", "is_data": is_data, "era": "simulation"}
        metadata |= {} if is_data else {"cross_section_pb": 1.0}
        fileset[name] = {
            "files": [str(f) for f in (files if isinstance(files, list) else [files])],
            "metadata": metadata,
        }
    (folder / "fileset.json").write_text(json.dumps(fileset), encoding="utf-8")
    data = analyses.content(
        **{"luminosity": 1.0, "threshold": {"score": "omnilearned", "value": 0.5}}
        | {"execution": {"executor": "iterative"}, "systematics": [], "fit": None}
        | changes
    )
    data["selection"]["jets"] = {"pt_min": 300.0, "mass_min": 0.0}
    (folder / "analysis.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return folder / "analysis.yaml"


def process(folder: Path, datasets: dict[str, Any], **changes: Any) -> RunContext:
    """Run the stage `process` of the small analysis on files; the arguments are those of `write_analysis`."""
    run = RunContext(load_analysis(write_analysis(folder, datasets, **changes)), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run
