"""Sources of workspaces: dictionaries, files and pyhf's objects, with patches."""

from __future__ import annotations

import copy
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonpatch
import jsonpointer
import numpy as np
import pyhf

from oddjets.core.errors import InputFileError, nearest
from oddjets.stats.histfactory.workspace_checks import WorkspaceError, numbers_of

__all__ = ["Patch", "WorkspaceSource", "load_workspace", "patch_of"]

#: a workspace, its file, or pyhf's model and data (main, then auxiliary)
WorkspaceSource = Mapping[str, Any] | str | Path | tuple[Any, Sequence[float] | np.ndarray]
#: operations of RFC 6902 or their file; or a patch set (its content, its file, pyhf's object) and the patch's name or values
Patch = Sequence[Mapping[str, Any]] | str | Path | tuple[Any, str | Sequence[float | str]]

_OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
#: interpolation codes of the models of workspaces
_INTERPOLATION = {"normsys": "code4", "histosys": "code4p"}
#: marks a missing value, because null is a valid one
_MISSING = object()


def load_workspace(source: WorkspaceSource, patches: Iterable[Patch] = ()) -> dict[str, Any]:
    """Read a workspace and patch it.

    Args:
        source: a workspace (a `pyhf.Workspace` is one); its file, which may be compressed (.json.xz, .json.gz); or a
            `pyhf.Model` and its data, of which the main data become the observations.
        patches: applied one after the other. A patch set's digests are checked against the workspace as it was published,
            before any patch.

    Returns:
        The workspace; what was given is not changed.

    Raises:
        InputFileError: a file is missing, truncated, not JSON, or has a duplicate key; a patch set is invalid or has
            no such patch.
        WorkspaceError: a patch does not apply, or belongs to another workspace; the model cannot be written as a workspace
            (custom modifiers, another interpolation, clipped yields).
    """
    workspace = _workspace(source)
    published = workspace
    # a file's name alone is one patch
    for patch in [patches] if isinstance(patches, (str, Path)) else patches:
        workspace = _patched(workspace, patch, published)
    return workspace


def patch_of(text: str) -> Patch:
    """Return the patch that the command line names: FILE, or FILE:NAME of a patch set."""
    found = re.fullmatch(r"(.+?\.json(?:\.[xg]z)?):(.+)", text)
    return (found[1], found[2]) if found else text


def _workspace(source: WorkspaceSource) -> dict[str, Any]:
    if isinstance(source, tuple):
        pair: tuple[Any, ...] = source
        if len(pair) != 2 or not isinstance(pair[0], pyhf.Model):
            raise WorkspaceError("a pair that stands for a workspace is a pyhf.Model and its data")
        return _of_model(*pair)
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, pyhf.Model):
        raise WorkspaceError("a pyhf.Model has no data: give it and its data as a pair, (model, data)")
    if not isinstance(source, (str, Path)):
        raise WorkspaceError(
            "a workspace is a dictionary, a pyhf.Workspace, a file, or a pyhf.Model and its data as a pair; this is a "
            f"{type(source).__name__}"
        )
    if isinstance(source, str) and source.lstrip()[:1] == "{":
        raise WorkspaceError("this is the text of a workspace, not the name of its file: give json.loads(TEXT)")
    path = Path(source)
    workspace = _read_json(path, "a workspace")
    if not isinstance(workspace, dict):
        raise InputFileError(f"{path}: a workspace is a JSON object with channels, observations and measurements")
    return workspace


def _of_model(model: Any, data: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Build a workspace from a `pyhf.Model` and its data; `pyhf.Workspace.build` loses the luminosity's constraint."""
    _check_model(model)
    main = numbers_of(data, model.config.nmaindata + model.config.nauxdata)[0].tolist()
    return {
        "channels": copy.deepcopy(model.spec["channels"]),
        "observations": [
            {"name": name, "data": main[part]} for name, part in sorted(model.config.channel_slices.items())
        ],
        "measurements": [
            {
                "name": "model",
                "config": {
                    "poi": model.config.poi_name or "",
                    "parameters": copy.deepcopy(model.spec.get("parameters", [])),
                },
            }
        ],
        "version": "1.0.0",
    }


def _check_model(model: Any) -> None:
    """Refuse models whose likelihood differs from that of a workspace with their specification."""
    known = pyhf.modifiers.histfactory_set
    for kind, applier in model.main_model.modifiers_appliers.items():
        if kind not in known or type(applier) is not known[kind][1]:
            raise WorkspaceError(f"the model has custom modifiers ('{kind}'), which the fast fit does not support")
    for kind, code in _INTERPOLATION.items():
        found = model.config.modifier_settings.get(kind, {}).get("interpcode")
        if found != code:
            raise WorkspaceError(
                f"the model interpolates {kind} by {found}; the fast fit supports only pyhf's default, {code}"
            )
    main = model.main_model
    if model.batch_size is not None or main.clip_sample_data is not None or main.clip_bin_data is not None:
        raise WorkspaceError("the model is batched or clips its yields, which the fast fit does not support")


def _read_json(path: Path, what: str) -> Any:
    try:
        with _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
            twice: list[tuple[dict[str, Any], str]] = []
            content = json.load(file, object_pairs_hook=lambda pairs: _object(pairs, twice))
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputFileError(
            f"{path}: cannot be decompressed ({error}); it may be incomplete, write it again"
        ) from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputFileError(f"{path}: is not a text file; {what} is a JSON file") from None
    except json.JSONDecodeError as error:
        raise InputFileError(
            f"{path}: is not valid JSON ({error.msg}, line {error.lineno}); it may be incomplete, write it again"
        ) from None
    except RecursionError:
        raise InputFileError(f"{path}: is nested too deeply to be read; {what} has a few levels only") from None
    except ValueError as error:
        # a number with thousands of digits
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    if twice:
        place, key = next((place, key) for place, found in _objects(content, "") for one, key in twice if found is one)
        raise InputFileError(
            f"{path}: '{key}' is there twice in {place or 'its outermost object'}, and only the last would be read; remove one"
        )
    return content


def _object(pairs: list[tuple[str, Any]], twice: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """Make a JSON object; record a duplicate key, of which JSON would silently keep the last value."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice.append((content, next(key for key in keys if keys.count(key) > 1)))
    return content


def _objects(content: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all objects of a JSON document, each with its place (a JSON pointer)."""
    if isinstance(content, dict):
        yield place, content
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _objects(value, f"{place}/{key}")


def _patched(workspace: dict[str, Any], patch: Patch, published: dict[str, Any]) -> dict[str, Any]:
    place = "the patch"
    if isinstance(patch, tuple):
        chosen, place = _of_set(patch[0], patch[1], published)
        operations = chosen.patch
    elif isinstance(patch, (str, Path)):
        operations, place = _read_json(Path(patch), "a patch"), str(patch)
        if isinstance(operations, dict) and "patches" in operations:
            names = [str(p.get("metadata", {}).get("name")) for p in operations["patches"]]
            raise InputFileError(f"{patch}: is a patch set; select a patch with FILE:NAME; {nearest('', names)}")
    elif isinstance(patch, Iterable):
        operations = list(patch)
    else:
        raise InputFileError(f"patches: a list of JSON patches or their files; got {patch!r} in it")
    if not isinstance(operations, list):
        raise InputFileError(f"{place}: a JSON patch is a list of operations (RFC 6902)")
    result = copy.deepcopy(workspace)
    for number, operation in enumerate(operations):
        try:
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as error:
            raise WorkspaceError(f"{place}, operation {number}{_why(result, operation, error)}") from None
    if not isinstance(result, dict):
        raise WorkspaceError(f"{place} removes the whole workspace")
    return result


def _why(workspace: dict[str, Any], operation: Any, error: Exception) -> str:
    """Describe an operation and why it failed; jsonpatch's own message can contain half of the workspace."""
    if not isinstance(operation, Mapping) or isinstance(error, jsonpatch.InvalidJsonPatch):
        return f" is not an operation of RFC 6902: {str(error)[:120]}"
    path = str(operation.get("from") or operation.get("path"))
    what = f" ({operation.get('op')} {operation.get('path')})"
    if isinstance(error, jsonpatch.JsonPatchTestFailed):
        return f"{what}: the workspace has a different value there than the patch expects"
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        if jsonpointer.resolve_pointer(workspace, "/".join(parts[:end]), _MISSING) is _MISSING:
            missing = "/".join(parts[:end])
            return f"{what} does not apply: the workspace has no {missing}; is it the workspace that the patch was made for?"
    return f"{what} does not apply: {str(error)[:120]}"


def _of_set(source: Any, key: str | Sequence[float | str], published: dict[str, Any]) -> tuple[Any, str]:
    """Find a patch by its name or its values; return it with its place."""
    place = str(source) if isinstance(source, (str, Path)) else "the patch set"
    content = _read_json(Path(source), "a patch set") if isinstance(source, (str, Path)) else source
    try:
        patch_set = content if isinstance(content, pyhf.PatchSet) else pyhf.PatchSet(content)
    except pyhf.exceptions.InvalidSpecification as error:
        raise InputFileError(f"{place}: is not a patch set of pyhf: {str(error).splitlines()[0]}") from None
    except (AttributeError, KeyError, TypeError, pyhf.exceptions.InvalidPatchSet) as error:
        raise InputFileError(f"{place}: is not a patch set of pyhf: {error}") from None
    # values are numbers or text, and text on the command line
    wanted = [v.strip() for v in key.split(",")] if isinstance(key, str) else [str(v) for v in key]
    found = [p for p in patch_set if p.name == key or [str(v) for v in p.values] == wanted]
    if not found:
        names = [p.name for p in patch_set]
        requested = key if isinstance(key, str) else ",".join(wanted)
        raise InputFileError(f"{place}: has no patch '{requested}'; {nearest(requested, names)}")
    try:
        patch_set.verify(published)
    except pyhf.exceptions.PatchSetVerificationError as error:
        raise WorkspaceError(f"{place}: was made for a different workspace: {str(error).splitlines()[0]}") from None
    except ValueError as error:
        raise InputFileError(f"{place}: its digests cannot be checked: {error}") from None
    return found[0], f"{place}:{found[0].name}"
