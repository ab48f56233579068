"""A bank: selected events of all processes in one small file, for studies without simulation.

The columns are those that cuts, observables, scores and variations read. Numbers are rounded to some binary digits: far finer
than any bin, so that only events at an edge change sides. Scores are rounded in log(s/(1 - s)), which is fine near 1 too;
those that are columns of the table are kept as they are, in 32 bits.
Weights are normalised to 1 /pb. The card stands in the file: which analysis, model, selection and seed, and how many events.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, logit

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import columns_behind, combined_columns, components_of
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.files import atomic_write
from oddjets.corrections.systematics import NOMINAL, variations_of
from oddjets.io.combined_scores import CombinedScores
from oddjets.io.event_table import JETS, Columns
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.objects import TRUTH_BRANCHES

__all__ = ["BITS", "Bank", "columns_for", "factors_of", "pack", "rounded"]

#: the version of the layout
LAYOUT = 1
#: binary digits that are kept of columns, and of the logit of scores
BITS, SCORE_BITS = 11, 14
#: a score is kept no closer to 0 or 1
_NEAREST = 1e-9
_PROCESS = "process"
#: what the dijet mass of a variation is made of
_MOMENTA = ("pt", "eta", "phi", "mass", "mass_ungroomed")


def rounded(values: npt.ArrayLike, bits: int) -> npt.NDArray[np.float32]:
    """Return numbers with so many binary digits behind the first one, to the nearest, shape of the values.

    Args:
        values: finite or not.
        bits: 1 to 23.
    """
    plain = np.ascontiguousarray(values, np.float32)
    drop = 23 - bits
    whole = plain.view(np.uint32).astype(np.uint64) + np.uint64((1 << drop) >> 1)
    found = (whole & np.uint64(0xFFFFFFFF ^ ((1 << drop) - 1))).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(plain) & np.isfinite(found), found, plain)


def columns_for(analysis: Analysis, processor: object, process: str, *, simulated: bool) -> list[str]:
    """Return the columns that studies of an analysis read of a process.

    Args:
        analysis: its cuts, observables, scores and systematics.
        processor: has the cuts as methods.
        process: its name.
        simulated: whether it has variations.
    """
    named = [*columns_needed(analysis, processor), "weight"]
    # the flavour is for the closure by pair of flavours; data have none
    named += [f"{name}_{j}" for name in (*_MOMENTA, *TRUTH_BRANCHES) for j in JETS]
    names = [own for name, score in analysis.scores.items() for own in (name, *score.members(name))]
    named += [f"score_{name}_{j}" for name in names for j in JETS]
    for variation in variations_of(analysis, process, is_data=False) if simulated else ():
        if variation.kind == "jets":
            named += [f"{name}_{j}__{variation.name}" for name in ("pt", "mass", "mass_ungroomed") for j in JETS]
        elif variation.kind == "scores":
            # which of the columns move, the event tables say
            named += [
                f"{name}__{variation.name}" for name in named if name.startswith(("score_", "tau")) and "__" not in name
            ]
        else:
            named.append(f"weight__{variation.name}")
    # of a combination of scores, what it is made of: a bank is read with the data of whoever reads it
    return list(dict.fromkeys(columns_behind(analysis.scores, named)))


def _stored(name: str, values: npt.NDArray[Any], plain: Container[str]) -> pa.Array:
    if values.dtype == np.bool_ or np.issubdtype(values.dtype, np.integer):
        return pa.array(values)
    if name.partition("__")[0] in plain:
        return pa.array(values.astype(np.float32))
    if name.startswith("score_"):
        with np.errstate(invalid="ignore"):
            inside = np.clip(values.astype(np.float64), _NEAREST, 1 - _NEAREST)
        return pa.array(rounded(logit(inside), SCORE_BITS))
    return pa.array(rounded(values, BITS))


def pack(
    file: Path, parts: Iterable[tuple[str, Columns]], card: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Write a bank.

    Args:
        file: where to.
        parts: process and the columns of some of its events, weights normalised to 1 /pb.
        card: what is said of it.
        wanted: process -> columns that are kept, where they are there.

    Returns:
        Process -> events.

    Raises:
        OddjetsError: a score is not between 0 and 1.
    """
    tables: dict[str, list[pa.Table]] = {}
    plain = _plain(card)
    for process, columns in parts:
        kept = {name: columns[name] for name in wanted[process] if name in columns}
        for name, values in kept.items():
            # NaN compares as neither
            if (
                name.startswith("score_")
                and name.partition("__")[0] not in plain
                and ((values < 0) | (values > 1)).any()
            ):
                raise OddjetsError(f"'{process}': {name} is not between 0 and 1, as a score of a bank must be")
        tables.setdefault(process, []).append(
            pa.table({name: _stored(name, v, plain) for name, v in sorted(kept.items())})
        )
    # the card's keys are sorted, and a reader finds a process by its place there
    counts = {process: sum(t.num_rows for t in found) for process, found in sorted(tables.items())}
    joined = []
    for process, found in tables.items():
        whole = pa.concat_tables(found, promote_options="permissive")
        # events that are alike stand together, which packs better
        order = np.argsort(whole["weight"].to_numpy(), kind="stable") if whole.num_rows else np.zeros(0, int)
        whole = whole.take(pa.array(order))
        joined.append(whole.append_column(_PROCESS, pa.array([process] * whole.num_rows, pa.string())))
    table = pa.concat_tables(joined, promote_options="permissive")
    note = {"layout": LAYOUT, "events": counts, **card}
    table = table.replace_schema_metadata({"oddjets_bank": json.dumps(note, sort_keys=True)})
    floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(file) as temporary,
        pq.ParquetWriter(
            temporary,
            table.schema,
            compression="zstd",
            compression_level=19,
            use_dictionary=[n for n in table.column_names if n not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        ) as writer,
    ):
        for process in counts:
            part = table.filter(pa.compute.equal(table[_PROCESS], process))
            if part.num_rows:
                writer.write_table(part, row_group_size=part.num_rows)
    return counts


def _given(model: Any) -> Any:
    """Return what is said of a score without a model, without keys that are not given; a model's sha256 as it is."""
    return {key: value for key, value in model.items() if value} if isinstance(model, Mapping) else model


def _plain(card: Mapping[str, Any]) -> set[str]:
    """Return the columns of scores that are columns of the table: any numbers, kept as they are."""
    return {f"score_{score}_{j}" for score in card.get("plain_scores", ()) for j in JETS}


@dataclass(frozen=True)
class Bank:
    """A bank's file.

    Attributes:
        file: its path.
        card: what is said of it.
        combined: the combinations of scores of the analysis that reads it, which become columns of its events.
    """

    file: Path
    card: Mapping[str, Any]
    combined: CombinedScores | None = None

    @classmethod
    def open(cls, file: Path) -> Bank:
        """Read the card of a bank.

        Raises:
            InputFileError: it is no bank.
        """
        try:
            note = (pq.read_schema(file).metadata or {}).get(b"oddjets_bank")
            card = json.loads(note) if note is not None else None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputFileError(
                f"{file}: cannot be read as a bank ({error}); make one with `oddjets study bank`"
            ) from None
        parts = ("events", "selection", "models")
        whole = isinstance(card, dict) and all(isinstance(card.get(part), dict) for part in parts)
        if not isinstance(card, dict) or not whole or card.get("layout") != LAYOUT:
            raise InputFileError(f"{file}: is no bank of this version; make one with `oddjets study bank`")
        bank = cls(file, card)
        with pq.ParquetFile(file, memory_map=False) as stored:
            groups = stored.metadata
            found = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        if found != [card["events"][process] for process in bank.processes]:
            raise InputFileError(f"{file}: damaged bank (its card counts other events than it has)")
        return bank

    def with_combinations(self, analysis: Analysis, folder: Path) -> Bank:
        """Return the bank with the combinations of scores of an analysis as columns; as it is, if there are none.

        Args:
            analysis: who reads the bank.
            folder: its ``out/events``, with what is known of the scores of its data.

        Raises:
            OddjetsError: it has combinations, and what is known of the data is not there.
        """
        if not combined_columns(analysis.scores):
            return self
        return replace(self, combined=CombinedScores.require(folder, analysis.name))

    @property
    def processes(self) -> list[str]:
        """The processes that it has events of."""
        return [process for process, events in self.card["events"].items() if events]

    def tables(self, process: str) -> Iterator[Columns]:
        """Yield the events of a process, with weights for 1 /pb.

        Raises:
            InputFileError: the file is damaged.
        """
        try:
            with pq.ParquetFile(self.file, memory_map=False) as stored:
                table = stored.read_row_group(self.processes.index(process))
            if set(table[_PROCESS].unique().to_pylist()) - {process}:
                raise InputFileError(f"{self.file}: damaged bank (events of another process stand for '{process}')")
            table = table.drop_columns([_PROCESS])
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InputFileError(f"{self.file}: damaged bank ({error})") from None
        columns: Columns = {}
        plain = _plain(self.card)
        for name in table.column_names:
            if table[name].null_count == table.num_rows:
                continue
            values = table[name].to_numpy()
            as_logit = name.startswith("score_") and name.partition("__")[0] not in plain
            columns[name] = expit(values.astype(np.float64)) if as_logit else values
        columns["event"] = np.arange(table.num_rows)
        if (combined := self.combined) is not None:
            # a bank of another analysis may lack a score that nothing reads
            made = [name for name in combined.columns if all(c in columns for c in combined.inputs([name]))]
            columns |= combined.of_jets(columns, made)
        yield columns

    def require_fit(self, analysis: Analysis, asked: Mapping[str, Any], processes: Sequence[str] | None = None) -> None:
        """Refuse a bank that is not of this analysis: other cuts, another model, a process or a variation missing.

        Args:
            analysis: the analysis.
            asked: what the card of its own bank would say, under ``era``, ``selection``, ``models`` and ``formulas``.
            processes: those that are needed; None: all of the analysis.

        Raises:
            OddjetsError: it is of something else; the message says of what.
        """
        needed = list(analysis.processes) if processes is None else list(processes)
        missing = [process for process in needed if process not in self.processes]
        if missing:
            raise OddjetsError(
                f"{self.file}: the bank has no events of '{missing[0]}', a process of '{analysis.name}'; it has"
                f" {', '.join(self.processes)}"
            )
        if self.card.get("era") != asked["era"]:
            raise OddjetsError(
                f"{self.file}: the bank is of era '{self.card.get('era')}', and '{analysis.name}' of '{asked['era']}'; make"
                " one with `oddjets study bank`"
            )
        cuts = self.card["selection"]
        differing = [name for name, value in asked["selection"].items() if name not in cuts or cuts[name] != value]
        if differing:
            raise OddjetsError(
                f"{self.file}: the bank was made with other cuts than those of '{analysis.name}' (selection:"
                f" {', '.join(differing)}); make one with `oddjets study bank`"
            )
        models = self.card["models"]
        for score in components_of(analysis.scores, analysis.threshold.score):
            if score not in models:
                raise OddjetsError(f"{self.file}: the bank has no score '{score}'; {nearest(score, models)}")
            if _given(models[score]) != _given(asked["models"].get(score)):
                raise OddjetsError(
                    f"{self.file}: the score '{score}' of the bank is another model's than that of '{analysis.name}'; make a"
                    " bank with `oddjets study bank`"
                )
            # banks of before say no formula
            formulas, own = self.card.get("formulas"), asked.get("formulas", {})
            if formulas is not None and formulas.get(score) != own.get(score):
                raise OddjetsError(
                    f"{self.file}: the score '{score}' of the bank is of other classes of the model than that of"
                    f" '{analysis.name}'; make a bank with `oddjets study bank`"
                )
        for process in needed:
            if process == analysis.data_driven:
                continue
            known = {name for columns in self.tables(process) for name in columns}
            for variation in variations_of(analysis, process, is_data=False):
                stems = {"jets": "pt_1", "scores": f"score_{analysis.threshold.score}_1"}
                column = f"{stems.get(variation.kind, 'weight')}__{variation.name}"
                if column not in known:
                    raise OddjetsError(
                        f"{self.file}: the bank has no variation '{variation.name}' of '{process}', which '{analysis.name}'"
                        " asks for"
                    )


def factors_of(analysis: Analysis, process: str, luminosity_pb: float) -> dict[str, float]:
    """Return variation, ``nominal`` first, -> factor of a bank's weights at a luminosity, /pb."""
    factor = luminosity_pb * analysis.processes[process].template_scale
    names = [] if process == analysis.data_driven else [v.name for v in variations_of(analysis, process, is_data=False)]
    return dict.fromkeys([NOMINAL, *names], factor)
