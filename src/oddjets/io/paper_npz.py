"""The authors' published event files (two adjacent rows for the two jets), converted from and to event tables.

A file ``outputs_pretrain_<model>_<process>_dijet*.npz`` holds ``prediction`` (jets, classes) and ``cond`` (jets, 52). Its
weights are complete: luminosity and cross section are in them.

The dijet mass of an imported event is the one of the authors' code (OmniLearnedAD, `EventData._compute_dijet_mass`): of pT,
eta, phi and *soft-drop* mass of both jets, nominal or varied, so that JMS and JMR move it. That code does not read the column
of the files that holds a dijet mass, and neither does `to_table`.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import AuthorsFiles
from oddjets.core.errors import InputFileError, nearest
from oddjets.io.event_table import JETS, dijet_mass

__all__ = [
    "COND_COLUMNS",
    "PREDICTION",
    "find_files",
    "find_unstorable",
    "from_table",
    "read_file",
    "refuse_data",
    "to_table",
]

Array = npt.NDArray[Any]

#: width of ``cond``
COND_COLUMNS = 52
#: bytes, and how many times larger: an array above both would be a trap, not numbers of jets
_SMALL, _MOST_COMPRESSED = 100_000_000, 100
#: what the files call data
DATA_NAME = "jetht"
#: a score's column that means the model's stored output
PREDICTION = "prediction"
#: exp of it is the largest number of single precision, in which event tables are
_LARGEST_LOG = float(np.log(np.finfo(np.float32).max))
#: jet column -> (column of cond, whether it is stored as a logarithm)
JET_COLUMNS: dict[str, tuple[int, bool]] = {
    "pt": (0, True),
    "eta": (1, False),
    "phi": (2, False),
    "mass": (3, True),
    "n_constituents": (5, False),
    "tau1": (6, False),
    "tau2": (7, False),
    "tau3": (8, False),
    "tau4": (9, False),
    "btag": (10, False),
    "xbb": (11, False),
    "xqq": (12, False),
    "xcc": (13, False),
}
#: event column -> column of cond, the same in both rows; of ``mjj``, which is written and not read, see above
EVENT_COLUMNS = {"mjj": 4, "trigger_dijet": 14, "trigger_muon": 15, "n_muons": 16, "n_electrons": 17}
#: jet variation -> column of cond with its pT; its soft-drop mass follows (GeV, no logarithms)
JET_VARIATIONS = {
    "jesUp": 18, "jesDown": 20, "jerUp": 22, "jerDown": 24, "jmsUp": 26, "jmsDown": 28, "jmrUp": 30, "jmrDown": 32,
}  # fmt: skip
NOMINAL_WEIGHT = 34
#: weight variation -> column of cond; complete event weights
WEIGHT_VARIATIONS = {
    "puUp": 35, "puDown": 36, "prefUp": 37, "prefDown": 38, "topptUp": 39, "topptDown": 40,
    "isrUp": 41, "isrDown": 42, "fsrUp": 43, "fsrDown": 44, **{f"scale{i}": 45 + i for i in range(6)},
}  # fmt: skip


def find_files(spec: AuthorsFiles, folder: Path) -> dict[str, list[Path]]:
    """Return process (``data`` for data) to its files, sorted.

    Args:
        spec: which model's files, and how their processes are called here.
        folder: where they are.

    Raises:
        InputFileError: no such file there.
    """
    pattern = re.compile(rf"outputs_pretrain_{spec.model}_(.+?)_dijet.*\.npz")
    found: dict[str, list[Path]] = {}
    names = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    for file in names:
        match = pattern.fullmatch(file.name)
        if match:
            process = "data" if match[1] == DATA_NAME else spec.processes.get(match[1], match[1])
            found.setdefault(process, []).append(file)
    if not found:
        wanted = f"outputs_pretrain_{spec.model}_{DATA_NAME}_dijet.npz"
        raise InputFileError(
            f"{folder}: no file outputs_pretrain_{spec.model}_PROCESS_dijet*.npz; "
            + (
                nearest(wanted, [n.name for n in names])
                or ("it is empty" if folder.is_dir() else "there is no such folder")
            )
        )
    return found


def read_file(file: Path) -> tuple[Array, Array]:
    """Read one file; nothing in it is unpickled.

    Returns:
        ``prediction`` (jets, classes) and ``cond`` (jets, 52), jets in pairs.

    Raises:
        InputFileError: no npz, an array missing, pickled, of the wrong shape or type, not finite, with a pT or a mass beyond
            all numbers or a varied pT that is not positive, or an odd number of rows.
    """
    try:
        _refuse_bomb(file)
        with np.load(file, allow_pickle=False) as content:
            missing = [name for name in ("prediction", "cond") if name not in content]
            if missing:
                raise InputFileError(f"{file}: no array '{missing[0]}'; {nearest(missing[0], content.files)}")
            prediction, cond = content["prediction"], content["cond"]
    # RuntimeError: a header that names a password, or a compression that there is not
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputFileError(f"{file}: cannot be read as npz without pickles ({error})") from None
    if cond.ndim != 2 or cond.shape[1] != COND_COLUMNS:
        raise InputFileError(f"{file}: 'cond' has shape {cond.shape}, not (jets, {COND_COLUMNS})")
    if prediction.ndim != 2 or len(prediction) != len(cond):
        raise InputFileError(f"{file}: 'prediction' has shape {prediction.shape} for {len(cond)} rows of 'cond'")
    if len(cond) % 2:
        raise InputFileError(f"{file}: {len(cond)} rows; the two jets of an event must be adjacent rows")
    for name, array in (("prediction", prediction), ("cond", cond)):
        if array.dtype.kind not in "fiub":
            raise InputFileError(f"{file}: '{name}' is of type {array.dtype}, not a real number")
        if not np.isfinite(array).all():
            raise InputFileError(f"{file}: NaN or infinite numbers in '{name}'")
    _check_jets(file, cond)
    shared = cond[:, [*EVENT_COLUMNS.values(), NOMINAL_WEIGHT]]
    if not np.array_equal(shared[::2], shared[1::2]):
        raise InputFileError(f"{file}: adjacent rows differ in their event's columns: the rows are not in pairs")
    return prediction, cond


def _check_jets(file: Path, cond: Array) -> None:
    """Refuse a pT or mass that is no number once its logarithm is undone, and a varied pT that is not positive.

    Data have no variations: their columns are zero.
    """
    for name, (column, logarithm) in JET_COLUMNS.items():
        if logarithm and (large := cond[:, column] > _LARGEST_LOG).any():
            row = int(np.flatnonzero(large)[0])
            raise InputFileError(
                f"{file}: row {row} of 'cond' has {cond[row, column]:g} as logarithm of the {name} ({int(large.sum())} rows"
                " have such a value)"
            )
    for name, column in JET_VARIATIONS.items():
        wrong = cond[:, column] <= 0
        # a file of data has zeros in all rows
        if wrong.any() and cond[:, column].any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputFileError(
                f"{file}: row {row} of 'cond' has a pT of {cond[row, column]:g} GeV under {name} ({int(wrong.sum())} rows have"
                " 0 or less)"
            )


def refuse_data(file: Path, cond: Array) -> None:
    """Refuse a file of a simulated process whose weights or varied jets are all zero, as those of data are.

    Args:
        file: for the message.
        cond: from `read_file`.

    Raises:
        InputFileError: it is one.
    """
    columns = {"weights": [NOMINAL_WEIGHT], "varied pT": list(JET_VARIATIONS.values())}
    lacking = [name for name, places in columns.items() if not cond[:, places].any()]
    if len(cond) and lacking:
        raise InputFileError(
            f"{file}: all {' and '.join(lacking)} are zero, as in a file of data; a file of simulation has them. Data are"
            f" called '{DATA_NAME}' in the file's name"
        )


def _refuse_bomb(file: Path) -> None:
    """Refuse an archive of a few bytes that unpacks to more than fits into memory; numbers of jets never do."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.file_size > max(_SMALL, _MOST_COMPRESSED * member.compress_size):
                raise InputFileError(
                    f"{file}: '{member.filename}' is {member.file_size / max(1, member.compress_size):.0f} times larger"
                    " unpacked than packed, which jet data never are"
                )


def to_table(score: Array, cond: Array, *, scores: Mapping[str, str], is_data: bool, number: int) -> dict[str, Array]:
    """Turn the rows of one file into columns of the event table.

    Args:
        score: made of the file's ``prediction``, one a jet: `oddjets.scoring.score.score_of_predictions`.
        cond: from `read_file`.
        scores: score name to what it is made of: ``prediction``, or a jet's column such as ``xbb``.
        is_data: data gets weight 1 and no variations.
        number: of the file, as luminosity block: the files have no event numbers, so rows are counted.

    Returns:
        Name to array, one entry per event, jets in the order of nominal pT; ``mass_ungroomed_j`` is the soft-drop mass, also
        under each jet variation.
    """
    n = len(cond) // 2
    pairs = cond.reshape(n, 2, COND_COLUMNS)
    # the rows of a pair come in any order
    order = np.argsort(-pairs[:, :, 0], axis=1, kind="stable")
    pairs = np.take_along_axis(pairs, order[:, :, None], axis=1)
    score_pairs = np.take_along_axis(score.reshape(n, 2), order, axis=1)
    table: dict[str, Array] = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.full(n, number, np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "passes_filters": np.ones(n, bool),
        "passes_nominal": np.ones(n, bool),
    }
    table |= {name: pairs[:, 0, column] for name, column in EVENT_COLUMNS.items()}
    table |= {name: table[name] > 0.5 for name in ("trigger_dijet", "trigger_muon")}
    for j in JETS:
        jet = pairs[:, j - 1]
        for name, (column, logarithm) in JET_COLUMNS.items():
            table[f"{name}_{j}"] = np.exp(jet[:, column]) if logarithm else jet[:, column]
        table[f"btag_{j}"] = np.maximum(table[f"btag_{j}"], 0.0)
        # the files have no ungroomed mass: their dijet mass is of soft-drop masses
        table[f"mass_ungroomed_{j}"] = table[f"mass_{j}"]
        with np.errstate(divide="ignore", invalid="ignore"):
            table[f"tau21_{j}"] = np.where(jet[:, 6] > 0, jet[:, 7] / jet[:, 6], np.nan)
        for name, column_name in scores.items():
            of_prediction = column_name == PREDICTION
            table[f"score_{name}_{j}"] = score_pairs[:, j - 1] if of_prediction else table[f"{column_name}_{j}"]
        if not is_data:
            for name, column in JET_VARIATIONS.items():
                table[f"pt_{j}__{name}"] = jet[:, column]
                table[f"mass_{j}__{name}"] = jet[:, column + 1]
                table[f"mass_ungroomed_{j}__{name}"] = jet[:, column + 1]
    table["mjj"] = dijet_mass(table)
    if is_data:
        return table | {"weight": np.ones(n)}
    table["weight"] = pairs[:, 0, NOMINAL_WEIGHT]
    return table | {f"weight__{name}": pairs[:, 0, column] for name, column in WEIGHT_VARIATIONS.items()}


def from_table(table: Mapping[str, Array], probabilities: Array, factor: float) -> tuple[Array, Array]:
    """Turn an event table into the arrays of one file; the inverse of `to_table` up to the order of the pair.

    What a table does not have (a variation, a tagger) is written as its nominal value, or -1 for a tagger.

    Args:
        table: name to array.
        probabilities: shape (events, 2, classes), leading jet first.
        factor: makes the weights complete: cross section x luminosity / sum of weights.

    Returns:
        ``prediction`` and ``cond``, float32; see `find_unstorable`.
    """
    n = len(table["event"])
    cond = np.zeros((n, 2, COND_COLUMNS))
    for name, column in EVENT_COLUMNS.items():
        cond[:, :, column] = np.asarray(table[name] if name in table else np.zeros(n), float)[:, None]
    if "trigger_dijet" not in table:
        fired = [table[name] for name in table if name.startswith("trigger_")]
        cond[:, :, EVENT_COLUMNS["trigger_dijet"]] = np.any(fired, axis=0)[:, None] if fired else 1.0
    for j in JETS:
        for name, (column, logarithm) in JET_COLUMNS.items():
            values = np.asarray(table.get(f"{name}_{j}", np.full(n, -1.0)), float)
            with np.errstate(divide="ignore", invalid="ignore"):  # see `find_unstorable`
                cond[:, j - 1, column] = np.log(values) if logarithm else values
        for name, column in JET_VARIATIONS.items():
            for i, quantity in enumerate(("pt", "mass")):
                nominal = table[f"{quantity}_{j}"]
                cond[:, j - 1, column + i] = table.get(f"{quantity}_{j}__{name}", nominal)
    cond[:, :, NOMINAL_WEIGHT] = factor * np.asarray(table["weight"], float)[:, None]
    for name, column in WEIGHT_VARIATIONS.items():
        cond[:, :, column] = factor * np.asarray(table.get(f"weight__{name}", table["weight"]), float)[:, None]
    prediction = np.asarray(probabilities, np.float32).reshape(2 * n, -1)
    with np.errstate(over="ignore"):
        return prediction, cond.reshape(2 * n, COND_COLUMNS).astype(np.float32)


def find_unstorable(prediction: Array, cond: Array) -> list[str]:
    """Say what of the arrays of a file `read_file` would refuse, with the number of events; nothing where all is well.

    Args:
        prediction: of `from_table`.
        cond: likewise.
    """

    def events(rows: Any) -> int:
        return int(rows.reshape(-1, 2).any(axis=1).sum())

    counts = {"class probabilities that are NaN or infinite": events(~np.isfinite(prediction).all(axis=1))}
    for name, (column, logarithm) in JET_COLUMNS.items():
        wrong = ~np.isfinite(cond[:, column])
        counts[
            f"a jet's {name} that is 0, negative, NaN or infinite" if logarithm else f"a {name} that is NaN or infinite"
        ] = events(wrong)
    nominal = [column for column, _ in JET_COLUMNS.values()]
    others = np.delete(cond, nominal, axis=1)
    counts["weights, variations or event numbers that are NaN or infinite"] = events(~np.isfinite(others).all(axis=1))
    varied = cond[:, list(JET_VARIATIONS.values())]
    counts["a varied pT of 0 or below"] = events((varied <= 0).any(axis=1))
    return [f"{number} event{'s' if number > 1 else ''} with {what}" for what, number in counts.items() if number]
