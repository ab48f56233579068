"""The event table: its columns, reading, writing and systematic variations.

One row per event that passes the base selection under the nominal or any varied jets; Parquet, one file per chunk. The
columns are those of `COLUMNS` and of `schema_of`; every writer and reader goes through here, and the version of the
schema is in each file.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.files import atomic_write
from oddjets.core.kinematics import momenta
from oddjets.io.combined_scores import CombinedScores

__all__ = [
    "JETS",
    "SCHEMA_VERSION",
    "EventTable",
    "datasets",
    "dijet_mass",
    "parts",
    "read",
    "stream",
    "write_part",
]

#: raised whenever a column changes its name or meaning
SCHEMA_VERSION = 3
#: rows that are read together, at least
_ROW_GROUP = 100_000
#: the two jets of the pair, in the order of nominal pT
JETS = (1, 2)

Columns = dict[str, npt.NDArray[Any]]

#: columns that are counts, identifiers or flags; scores and weights are float64, everything else is float32
DTYPES: dict[str, Any] = {
    "run": np.uint32,
    "luminosityBlock": np.uint32,
    "event": np.uint64,
    "n_muons": np.int16,
    "n_electrons": np.int16,
    # of tables of single jets
    "jet": np.int16,
    "n_constituents": np.int16,
    "passes_nominal": np.bool_,
}


def dtype_of(column: str) -> Any:
    """Return the type that a column has on disk."""
    if column in DTYPES:
        return DTYPES[column]
    if column.startswith(("trigger_", "passes_")):
        return np.bool_
    if column.startswith("n_constituents_"):
        return np.int16
    if column.startswith(("score_", "weight")):
        return np.float64
    return np.float32


def dijet_mass(columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Return the invariant mass of the pair, GeV, from pt_j, eta_j, phi_j and the ungroomed mass_ungroomed_j."""
    return _pair_mass(columns, _directions(columns))


def _directions(columns: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float64]]:
    """Return what no variation moves of a momentum: cos phi, sin phi, sinh eta and cosh eta of each jet, (4, n)."""
    # a momentum of pT 1 and no mass: in binary arithmetic the root of a number's square is that number, so no bit is lost
    return [np.ascontiguousarray(momenta(1.0, columns[f"eta_{j}"], columns[f"phi_{j}"], 0.0).T) for j in JETS]


def _pair_mass(
    columns: Mapping[str, npt.NDArray[Any]], directions: Sequence[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Return the mass of the pair whose jets have these directions, in the steps of `oddjets.core.kinematics.momenta`."""
    jets = []
    for j, (cos, sin, sinh, cosh) in zip(JETS, directions, strict=True):
        pt, mass = (np.asarray(columns[f"{name}_{j}"], np.float64) for name in ("pt", "mass_ungroomed"))
        jets.append((pt * cos, pt * sin, pt * sinh, np.sqrt((pt * cosh) ** 2 + mass**2)))
    x, y, z, energy = (first + second for first, second in zip(*jets, strict=True))
    # not `invariant_mass`, which subtracts one component after the other and rounds otherwise
    square = energy**2 - (x**2 + y**2 + z**2)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)), dtype=np.float64)


class EventTable(Mapping[str, npt.NDArray[Any]]):
    """The columns of some events under one variation.

    Under a jet variation, ``pt_j`` and ``mass_j`` are the varied ones, the jets are numbered by varied pT (so every
    column that ends in ``_1`` or ``_2`` changes sides where the order flips), and ``mjj`` is computed anew, of ungroomed masses
    that scale with pT, or of the variation's own ones where the table has them (imported event files); the score and tau_N
    stay those of the nominal constituents. Under a variation of the constituents the columns change that the table has under
    its name, scores and tau_N, and the jets' momenta, masses and numbers stay. Under a weight variation only ``weight``
    changes.

    Args:
        columns: name to array, all of one length.
        variation: ``nominal`` or a variation's name, as in the columns' suffixes.

    Attributes:
        variation: its name.
        varies_jets: whether it moves what is known of jets, and not the weight alone.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]], variation: str = "nominal") -> None:
        self._columns = columns
        self.variation = variation
        self._varied: Columns = {}
        self._swap: npt.NDArray[np.bool_] | None = None
        self.varies_jets, self._same_momenta = False, False
        # the nominal pair, computed when it is first asked for: all variations of the same events share it
        self._pair: dict[str, Any] = {}
        if variation == "nominal":
            return
        suffix = f"__{variation}"
        if f"pt_1{suffix}" in columns:
            self._vary_jets(suffix)
        elif f"weight{suffix}" in columns:
            self._varied = {"weight": columns[f"weight{suffix}"]}
        elif own := [name for name in columns if name.endswith(suffix)]:
            self._varied = {name.removesuffix(suffix): columns[name] for name in own}
            self.varies_jets = True
            self._same_momenta = True
        else:
            known = sorted({c.split("__", 1)[1] for c in columns if "__" in c})
            raise OddjetsError(f"these events have no variation '{variation}'; {nearest(variation, known)}".rstrip())

    def _vary_jets(self, suffix: str) -> None:
        columns = self._columns
        varied = {f"{name}_{j}": columns[f"{name}_{j}{suffix}"] for name in ("pt", "mass") for j in JETS}
        with np.errstate(invalid="ignore", divide="ignore"):
            for j in JETS:
                own = f"mass_ungroomed_{j}{suffix}"
                # without one of its own, the ungroomed mass moves with the jet's momentum
                ratio = np.where(columns[f"pt_{j}"] > 0, varied[f"pt_{j}"] / columns[f"pt_{j}"], 1.0)
                varied[f"mass_ungroomed_{j}"] = (
                    columns[own] if own in columns else columns[f"mass_ungroomed_{j}"] * ratio
                )
        self._varied = varied
        self.varies_jets = True
        swap = np.asarray(varied["pt_2"] > varied["pt_1"])
        self._swap = swap if swap.any() else None

    def _varied_mass(self) -> npt.NDArray[Any]:
        """Return the varied dijet mass, scaled to the stored nominal one, whatever its definition."""
        if not self._pair:
            directions = _directions(self._columns)
            self._pair |= {"directions": directions, "mass": _pair_mass(self._columns, directions)}
        nominal = self._pair["mass"]
        varied = _pair_mass(self._varied, self._pair["directions"])
        ratio = np.divide(varied, nominal, out=np.ones_like(nominal), where=nominal > 0)
        return np.asarray(self._columns["mjj"] * ratio)

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        if column == "mjj" and self.varies_jets and not self._same_momenta and column not in self._varied:
            self._varied[column] = self._varied_mass()
        value = self._varied[column] if column in self._varied else self._columns[column]
        if self._swap is not None and column[-2:] in ("_1", "_2"):
            other = column[:-1] + ("2" if column[-1] == "1" else "1")
            if other in self._columns:
                partner = self._varied[other] if other in self._varied else self._columns[other]
                return np.where(self._swap, partner, value)
        return value

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def size(self) -> int:
        """The number of events."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def under(self, variation: str) -> EventTable:
        """Return the same events as another variation sees them."""
        table = EventTable(self._columns, variation)
        table._pair = self._pair
        return table


def write_part(file: Path, columns: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]) -> None:
    """Write one chunk's rows; a reader sees all of the file or nothing.

    Args:
        file: where to; its folder is made.
        columns: name to array; cast to the schema's types.
        metadata: kept as JSON in the file, with the schema's version.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(value).astype(dtype_of(name)) for name, value in columns.items()}
    # a mapping's order depends on who filled it: the file's does not
    table = pa.table({name: pa.array(arrays[name]) for name in sorted(arrays)})
    note = json.dumps({"schema": SCHEMA_VERSION, **metadata}, sort_keys=True)
    table = table.replace_schema_metadata({"oddjets": note})
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    # a dictionary of numbers that hardly repeat is as long as they are: tables are a quarter smaller without, read faster
    # and are written in a quarter of the time
    encodings = {
        "use_dictionary": [name for name in table.column_names if name not in floats],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    }
    with atomic_write(file) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROW_GROUP, **encodings)


def datasets(folder: Path) -> list[str]:
    """Return the datasets that have event tables in a folder."""
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def parts(folder: Path, dataset: str) -> list[Path]:
    """Return the files of a dataset's event table, sorted."""
    return sorted((folder / dataset).glob("part-*.parquet"))


def read(folder: Path, dataset: str, columns: Sequence[str] | None = None) -> Columns:
    """Read the event table of a dataset.

    Combinations of scores are columns too, though they stand in no file (`oddjets.io.combined_scores`).

    Where a file had no branch that other files had, of this dataset or another, its rows have NaN.

    Args:
        folder: ``out/events``.
        dataset: its name.
        columns: which to read; None: all.

    Returns:
        Name to array; rows sorted by (run, luminosityBlock, event), so that they don't depend on the chunks.

    Raises:
        InputFileError: no such dataset, a broken file, a missing column or another version of the schema.
    """
    keys = ["run", "luminosityBlock", "event"]
    wanted = None if columns is None else list(dict.fromkeys([*keys, *columns]))
    table = pa.concat_tables(list(_tables(folder, dataset, wanted, {})))
    arrays = {name: table[name].to_numpy() for name in table.column_names}
    order = np.lexsort([arrays[key] for key in reversed(keys)])
    return {name: array[order] for name, array in arrays.items() if columns is None or name in columns}


def stream(
    folder: Path,
    dataset: str,
    columns: Sequence[str] | None = None,
    rows: int = 100_000,
    *,
    needed: Mapping[str, str] | None = None,
) -> Iterator[Columns]:
    """Read the event table of a dataset piece by piece, so that it need not fit into memory.

    Args:
        folder: ``out/events``.
        dataset: its name.
        columns: which to read; None: all.
        rows: of a piece; the last one has fewer.
        needed: column to what needs it: NaN is no answer there.

    Yields:
        Name to array. Rows come file by file in the order of their entries, which does not depend on the chunks; sums over
        them in this order are the same bits.

    Raises:
        InputFileError: as `read`, and where some rows lack a needed column that others have.
    """
    waiting: list[pa.Table] = []
    for table in _tables(folder, dataset, None if columns is None else list(columns), needed or {}):
        # what has no rows would still hold the memory of what it was cut from
        waiting += [table] if table.num_rows else []
        while sum(piece.num_rows for piece in waiting) >= rows:
            joined = pa.concat_tables(waiting)
            yield _arrays(joined.slice(0, rows))
            rest = joined.slice(rows)
            waiting = [rest] if rest.num_rows else []
    if waiting:
        yield _arrays(pa.concat_tables(waiting))


def _arrays(table: pa.Table) -> Columns:
    return {name: table[name].to_numpy() for name in table.column_names}


def _tables(folder: Path, dataset: str, wanted: list[str] | None, needed: Mapping[str, str]) -> Iterator[pa.Table]:
    """Read the parts of a dataset, one at a time, with the combinations of scores; see `read` and `stream`."""
    combined = CombinedScores.load(folder)
    if combined is None:
        yield from _stored_tables(folder, dataset, wanted, needed)
        return
    added = [name for name in (combined.columns if wanted is None else wanted) if name in combined.columns]
    inputs = combined.inputs(added)
    asked = None if wanted is None else list(dict.fromkeys([*(n for n in wanted if n not in added), *inputs]))
    also = {name: needed[column] for column in added if column in needed for name in combined.inputs([column])}
    for table in _stored_tables(folder, dataset, asked, {**also, **needed}):
        columns = combined.of_jets({name: table[name].to_numpy() for name in inputs}, added)
        # whoever wrote a table that was read wrote them too
        table = table.drop_columns([name for name in added if name in table.column_names])
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        yield table if wanted is None else table.select(wanted)


def _stored_tables(
    folder: Path, dataset: str, wanted: list[str] | None, needed: Mapping[str, str]
) -> Iterator[pa.Table]:
    """Read the columns that stand in the parts of a dataset, one part at a time; see `read` and `stream`."""
    files = parts(folder, dataset)
    if not files:
        raise InputFileError(f"{folder / dataset}: no event table here; {nearest(dataset, datasets(folder))}".rstrip())
    own = [_names(file) for file in files]
    others = [_names(file) for other in datasets(folder) if other != dataset for file in parts(folder, other)]
    # variations are of a process, and no other has them
    fillable = {name for name in {*_union(own), *(n for n in _union(others) if "__" not in n)} if _may_be_nan(name)}
    names = sorted(fillable | set(own[0]).intersection(*own)) if wanted is None else wanted
    for file, present in zip(files, own, strict=True):
        for name in names:
            if name in present or (name in fillable and name not in needed):
                continue
            if name in fillable:
                raise InputFileError(
                    f"{file}: no column '{name}', which the {needed[name]} needs: the input file of these rows lacks a branch"
                    " that other files have; `oddjets process --force` names the file, and --skip-bad-files leaves it out"
                )
            raise InputFileError(f"{file}: no column '{name}'; {nearest(name, present)}")
        try:
            # not mapped into memory, where pages that were read would count as used
            with pq.ParquetFile(file, memory_map=False) as stored:
                here = [name for name in names if name in present]
                for group in range(max(stored.num_row_groups, 1)):
                    whole = stored.num_row_groups == 0
                    table = stored.read(columns=here) if whole else stored.read_row_group(group, columns=here)
                    for name in names:
                        if name not in present:
                            table = table.append_column(name, pa.array(np.full(len(table), np.nan, dtype_of(name))))
                    yield table.select(names).replace_schema_metadata(None)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _broken(file, error) from None


def _broken(file: Path, error: Exception) -> InputFileError:
    return InputFileError(f"{file}: broken event table ({error}); `oddjets process --force` makes it again")


def _may_be_nan(column: str) -> bool:
    return bool(np.issubdtype(dtype_of(column), np.floating))


def _union(names: Sequence[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*set(names))


def _names(file: Path) -> frozenset[str]:
    """Return the columns of a part, after checking the version of its schema."""
    try:
        found = file.stat()
        return _names_of(file, found.st_mtime_ns, found.st_size)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(file, error) from None


@functools.lru_cache(maxsize=100_000)
def _names_of(file: Path, _modified: int, _size: int) -> frozenset[str]:
    schema = pq.read_schema(file, memory_map=False)
    note = json.loads((schema.metadata or {}).get(b"oddjets", b"{}"))
    if note.get("schema") != SCHEMA_VERSION:
        raise InputFileError(
            f"{file}: event table of version {note.get('schema')}, but version {SCHEMA_VERSION} is needed; run"
            " `oddjets process`"
        )
    return _shared(frozenset(schema.names))


@functools.lru_cache(maxsize=256)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Return one object for equal sets: parts are many, and have the same columns."""
    return names
