"""The score cache on disk: each jet is scored once, so that a new cut, region, binning or formula needs no inference.

What is kept is the model's output for a jet, in the type in which the model gives it, of which all scores, shares and
probabilities are computed: their bits are those without the cache, and any number of scores have one entry.

It is found by the jet's content, all that scoring is given of it: constituents with their PUPPI weights, and
the jet's axis. So it does not matter which cuts an event passed, in which chunk it was, and whether constituents were
found by the file's index or by clustering again: equal jets have equal scores, others are scored.

    FOLDER/<key>/<UUID of the file>/part-<first entry>-<last entry>-<digest>.npz

The key is that of the model, of the arithmetic (a number that is raised when a bit of any score changes, and not when code
moves: inference is dear), and of what computes. A part is written under a temporary name
and renamed, and never changed: workers, and analyses with a folder in common, share it without locks, and at worst score a
jet twice.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core import provenance
from oddjets.core.console import log
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.core.kinematics import offsets_from
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, UnusualCounts, count_unusual, prepare
from oddjets.scoring.onnx_session import runtime_version
from oddjets.scoring.scorer import ARITHMETIC_VERSION, Scorer

__all__ = ["Evaluation", "ScoreCache", "cache_key", "evaluate", "refused_writing"]

#: of a jet's digest: that any two of 10^12 jets share one has a chance of 10^-15
_DIGEST_BYTES = 16
#: what reading a file that is no part, or a damaged one, raises; the archive's checksums find changed bytes, and a changed
#: byte of its headers may ask for a password or another compression (RuntimeError and its kinds)
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


#: what writing into another's folder, or into one that is mounted for reading, answers
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class ScoreCache:
    """The place of the stored scores of some entries of a file.

    Attributes:
        folder: of all kept scores.
        uuid: of the file.
        start: the first entry.
        stop: one past the last entry.
    """

    folder: Path
    uuid: str
    start: int
    stop: int

    @classmethod
    def of_chunk(cls, folder: Path | None, metadata: Mapping[str, Any]) -> ScoreCache | None:
        """Return the place of a chunk's scores; None without a folder.

        Args:
            folder: of all kept scores.
            metadata: of the chunk: ``fileuuid``, ``entrystart``, ``entrystop``.
        """
        if folder is None:
            return None
        return cls(folder, metadata["fileuuid"], int(metadata["entrystart"]), int(metadata["entrystop"]))


class Evaluation(NamedTuple):
    """A model's output for jets and where it came from.

    Attributes:
        output: as `Scorer.run` gives it, shape (n_jets, n_classes): NaN for a jet without constituents. Outputs outside the
            card's softmax, which no score reads, are 0.
        computed: jets that the model scored now.
        from_cache: jets whose output was there.
        key: under which outputs are kept; "" where they are not.
        unusual: jets and constituents with which the model does something that a user should know, kept scores or not.
    """

    output: NDArray[np.float32]
    computed: int
    from_cache: int
    key: str
    unusual: UnusualCounts


def refused_writing(folder: Path) -> str:
    """Make a folder of scores, and return why nothing can be written there; "" if something can.

    Raises:
        OddjetsError: it is a file, cannot be made or cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if not folder.is_dir():
            raise OddjetsError(
                f"{folder}: cannot be the folder of scores ({error.strerror or error}); name another one in"
                " 'execution.score_folder'"
            ) from None
    if not os.access(folder, os.R_OK | os.X_OK):
        raise OddjetsError(
            f"{folder}: the scores there cannot be read; name another folder in 'execution.score_folder'"
        )
    try:
        # what a file system is mounted as, or who may write, is known only when somebody tries
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def evaluate(scorer: Scorer, jets: JetConstituents, *, cache: ScoreCache | None = None) -> Evaluation:
    """Run a model on jets; take what is stored from the cache, and store what is new.

    Args:
        scorer: the model.
        jets: the jets.
        cache: where the outputs of these entries are kept; None: nowhere.

    Returns:
        The output, from which `oddjets.scoring.score` computes scores: on a CPU, the bits are those that the model would
        give.

    Raises:
        OddjetsError: as `Scorer.score`.
    """
    used = sorted(scorer.card.output.softmax)
    values = np.full((jets.n_jets, len(used)), np.nan, np.float32)
    missing = np.ones(jets.n_jets, np.bool_)
    digests: list[bytes] = []
    key = ""
    if cache is not None:
        key = cache_key(scorer)
        digests = _digests(jets)
        kept = _read(cache, key, len(used))
        for i, digest in enumerate(digests):
            if digest in kept:
                values[i], missing[i] = kept[digest], False
    if missing.any():
        values[missing] = scorer.run(prepare(_take(jets, missing), scorer.card))[:, used]
    # a jet without constituents has no score, and needs no model to say so
    computed = np.flatnonzero(missing & np.isfinite(values[:, 0]))
    if cache is not None and len(computed):
        try:
            _write(cache, key, [digests[i] for i in computed], values[computed])
        except OSError as error:
            # a shared folder that is another's: the run has said so
            if error.errno not in _NOT_OURS:
                raise
    output = np.zeros((jets.n_jets, scorer.card.output.n_classes), np.float32)
    output[np.isnan(values[:, 0])] = np.nan
    output[:, used] = values
    unusual = count_unusual(jets, scorer.card)
    return Evaluation(output, len(computed), int(np.count_nonzero(~missing)), key, unusual)


def cache_key(scorer: Scorer) -> str:
    """Return the key of stored outputs: the model and its inputs, the arithmetic, and the provider; no formula.

    Args:
        scorer: the model; its provider counts as the one that really computes.
    """
    return provenance.content_key(
        {
            "model": scorer.card.model_key,
            "arithmetic": ARITHMETIC_VERSION,
            "provider": scorer.provider_used,
            "versions": [runtime_version(), importlib.metadata.version("numpy")],
        }
    )


def _take(jets: JetConstituents, wanted: NDArray[np.bool_]) -> JetConstituents:
    counts = np.diff(jets.offsets)
    rows = np.repeat(wanted, counts)
    return replace(
        jets,
        offsets=offsets_from(counts[wanted]),
        jet_eta=jets.jet_eta[wanted],
        jet_phi=jets.jet_phi[wanted],
        **{name: getattr(jets, name)[rows] for name in CANDIDATE_BRANCHES},
    )


def _digests(jets: JetConstituents) -> list[bytes]:
    """Return a digest of all inputs of scoring for each jet."""
    # float64 holds all of these exactly: the type in the file does not matter
    axes = np.stack([jets.jet_eta, jets.jet_phi], axis=1).astype(np.float64)
    columns = np.stack([np.asarray(getattr(jets, name), np.float64) for name in CANDIDATE_BRANCHES], axis=1)
    digests = []
    for jet, axis in enumerate(axes):
        digest = hashlib.blake2b(axis.tobytes(), digest_size=_DIGEST_BYTES)
        digest.update(columns[jets.offsets[jet] : jets.offsets[jet + 1]].tobytes())
        digests.append(digest.digest())
    return digests


def _read(cache: ScoreCache, key: str, width: int) -> dict[bytes, NDArray[np.float32]]:
    """Read what is kept of a chunk's entries: digest to the model's output."""
    kept: dict[bytes, NDArray[np.float32]] = {}
    for file in sorted((cache.folder / key / cache.uuid).glob("part-*.npz")):
        try:
            start, stop = (int(word) for word in file.stem.split("-")[1:3])
            if start >= cache.stop or stop <= cache.start:
                continue
            # opened here: NumPy leaves a file open that it cannot read
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                stored, jets, values = str(content["key"]), content["jets"], content["values"]
            if stored != key:
                raise ValueError("of another model or version")
            if jets.shape != (len(values), _DIGEST_BYTES) or jets.dtype != np.uint8:
                raise ValueError("no digests of jets")
            if values.shape != (len(jets), width) or values.dtype != np.float32 or not np.isfinite(values).all():
                raise ValueError("no output of the model")
        except _UNREADABLE as error:
            log.warning("%s: not what this program wrote, ignored (%s)", file, error)
            continue
        kept.update(zip((jet.tobytes() for jet in jets), values, strict=True))
    return kept


def _write(cache: ScoreCache, key: str, digests: list[bytes], values: NDArray[np.float32]) -> None:
    """Write outputs; a reader sees all of the part or nothing."""
    folder = cache.folder / key / cache.uuid
    folder.mkdir(parents=True, exist_ok=True)
    together = b"".join(digests)
    # the same jets have the same name: a damaged part is replaced by the one that was computed in its stead
    name = hashlib.blake2b(together, digest_size=6).hexdigest()
    file = folder / f"part-{cache.start:012d}-{cache.stop:012d}-{name}.npz"
    jets = np.frombuffer(together, np.uint8).reshape(-1, _DIGEST_BYTES)
    with atomic_write(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=np.array(key), jets=jets, values=values)
