"""Safe reading of YAML files, with ``extends`` and a list of all errors."""

from __future__ import annotations

import gzip
import types
import typing
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from oddjets.core import resources
from oddjets.core.errors import OddjetsError, nearest, nearest_file

__all__ = [
    "ConfigError",
    "Name",
    "StrictModel",
    "describe_error",
    "describe_errors",
    "keys_at",
    "merge_mappings",
    "parse_yaml",
    "place_in",
    "read_extended",
    "read_yaml",
    "told",
]

_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
#: of anything that a YAML names
#: characters; names are in the names of files, which have at most 255 on common file systems
_LONGEST_NAME = 100
Name = Annotated[str, Field(pattern=_NAME_PATTERN, max_length=_LONGEST_NAME)]


class StrictModel(BaseModel):
    """A section of a YAML: frozen, and strict about unknown keys and numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ConfigError(OddjetsError):
    """An error in a YAML; the message lists every place.

    Attributes:
        problems: what is wrong, each with its place; empty where that is not a list.
    """

    problems: tuple[str, ...] = ()

    @classmethod
    def of_problems(cls, head: str, problems: Sequence[str], shown: Sequence[str] | None = None) -> Self:
        """Return the error of a file with a list of problems.

        Args:
            head: names the file.
            problems: at least one.
            shown: how the message has them, with their lines; None: as they are.
        """
        count = f"{len(problems)} error{'s' if len(problems) > 1 else ''}"
        error = cls(f"{head}: {count}\n" + "\n".join(f"  {problem}" for problem in shown or problems))
        error.problems = tuple(problems)
        return error


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.GenericAlias) or typing.get_origin(annotation) is not None:
        return [m for a in typing.get_args(annotation) for m in _models(a)]
    return []


def keys_at(location: tuple[int | str, ...], top: type[BaseModel]) -> list[str]:
    """Return the valid keys of the model that a pydantic error's parent location points into."""
    candidates = [top]
    for step in location:
        following = []
        for model in candidates:
            field = model.model_fields.get(str(step))
            if field is not None:
                following += _models(field.annotation)
        # a step that is no field is a dictionary's key, a list's index or a union's branch: stay
        candidates = following or candidates
    fields = (item for model in candidates for item in model.model_fields.items())
    return sorted({field.alias or key for key, field in fields if key != "path"})


def describe_errors(error: ValidationError, top: type[BaseModel]) -> list[str]:
    """Return each of pydantic's errors as: the place, what is wrong, the nearest valid name.

    Args:
        error: what pydantic found.
        top: the model that was validated.
    """
    return list(dict.fromkeys(describe_error(item, top) for item in told(error)))


def told(error: ValidationError) -> list[Any]:
    """Return pydantic's errors, without those of the other branch of a union: of a list where a mapping is given."""
    found = error.errors()
    inner = [place_in(item["loc"]) for item in found]
    return [
        item
        for item, place in zip(found, inner, strict=True)
        if not (
            item["type"] == "tuple_type"
            and isinstance(item["input"], dict)
            and any(len(other) > len(place) and other[: len(place)] == place for other in inner)
        )
    ]


def describe_error(item: Mapping[str, Any], top: type[BaseModel]) -> str:
    """Return one of pydantic's errors as: the place, what is wrong, the nearest valid name.

    Args:
        item: of pydantic's ``errors()``.
        top: the model that was validated.
    """
    location = place_in(item["loc"])
    place = ".".join(str(step) for step in location) or "(top level)"
    if item["type"] == "extra_forbidden":
        key = str(location[-1])
        return f"{place}: unknown key; {nearest(key, keys_at(location[:-1], top))}"
    given, message = item["input"], item["msg"].removeprefix("Value error, ")
    if item["type"] == "string_pattern_mismatch" and item["ctx"]["pattern"] == _NAME_PATTERN:
        message = "is no name, which has letters, digits and _ and starts with a letter"
    elif item["type"] == "string_too_long" and item["ctx"]["max_length"] == _LONGEST_NAME:
        message = f"has {len(given)} characters; names have at most {_LONGEST_NAME}, as they are in names of files"
    message = _SHAPES.get(item["type"], message)
    named = isinstance(given, str) and repr(given) in message
    got = "" if item["type"] == "missing" or not location or named else f" (got {given!r})"
    return f"{place}: {message[0].lower()}{message[1:]}{got if len(got) < 120 else ''}"


def place_in(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return a place of pydantic's without the names of a union's branches, and without its word for a mapping's key."""
    return tuple(step for step in location if not (isinstance(step, str) and step in _NO_STEPS))


#: pydantic's errors about the shape of a value, in the words of YAML: readers know no tuples, dictionaries and instances
_SHAPES = {
    "tuple_type": "should be a list, as [a, b]",
    "list_type": "should be a list, as [a, b]",
    "dict_type": "should be a mapping, as {key: value}",
    "model_type": "should be a mapping, as {key: value}",
    "model_attributes_type": "should be a mapping, as {key: value}",
}

_NO_STEPS = {"POI", "tuple[POI, ...]", "(one)", "(several)", "(word)", "[key]"}


#: bytes; a fileset of all files of Run 2 has some MB
_LARGEST_FILE = 64_000_000
#: nodes that a file may have after its aliases are written out; without aliases it may have any number
_MOST_NODES = 200_000


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys and nested aliases that would fill the memory."""

    def get_single_node(self) -> yaml.Node | None:
        """Parse the file, before anything is built of it."""
        node = super().get_single_node()
        if node is not None:
            _refuse_bomb(node)
        return node


def _refuse_bomb(top: yaml.Node) -> None:
    """Refuse aliases of aliases of aliases: a few lines that stand for more nodes than fit into memory.

    Args:
        top: the root; a node with an alias is the same object at each of its places.

    Raises:
        yaml.YAMLError: too many nodes, or a node inside itself.
    """
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise yaml.constructor.ConstructorError(
                None, None, "an alias of a mapping or list that contains it", node.start_mark
            )
        if known:
            return known
        sizes[id(node)] = None
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
        sizes[id(node)] = total = 1 + sum(size(part) for part in parts)
        return total

    written_out = size(top)
    if written_out > max(_MOST_NODES, 2 * len(sizes)):
        raise yaml.constructor.ConstructorError(
            None, None, f"its aliases stand for {written_out} values: more than a configuration has", top.start_mark
        )


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (str, int, float, bool)) and key != "<<":
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Read a YAML file safely, gzipped or not, refusing duplicate keys and what would fill the memory.

    Raises:
        ConfigError: the file is missing, unreadable, too large or no YAML; the message has the line.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are too much for a YAML file")
        text = _unzipped(path) if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    except FileNotFoundError:
        beside = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(
            f"{path}: no such file; {nearest_file(path.name, beside, or_all=False)}".removesuffix("; ")
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; give a YAML file, such as ANALYSIS.yaml") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, place: str) -> Any:
    """Read YAML safely, as `read_yaml` does.

    Args:
        text: of a file.
        place: the file, for messages.

    Raises:
        ConfigError: it is no YAML, has a key twice or would fill the memory; the message has the line.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: dates and numbers that cannot be
        raise ConfigError(f"{place}: no valid YAML: {error}") from None


def _unzipped(path: Path) -> str:
    with gzip.open(path, "rb") as stream:
        content = stream.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{path}: more than {_LARGEST_FILE / 1e6:.0f} MB unzipped are too much for a YAML file")
    return content.decode("utf-8")


def read_extended(
    path: Path,
    above: tuple[Path, ...] = (),
    *,
    kind: Literal["processors", "corrections"] = "processors",
    complete: Callable[[dict[Any, Any], dict[Any, Any]], dict[Any, Any]] = lambda own, base: own,
    opened: Callable[[dict[Any, Any], Path], None] = lambda own, file: None,
) -> Any:
    """Read a YAML; what it ``extends`` is read first, and its own keys are laid over that.

    Args:
        path: the file; ``extends`` names one beside it, or a shipped one of its kind.
        above: the files that extend this one.
        kind: whether it is an analysis or an era; an era names another one without the ending ``.yaml``.
        complete: adds to the keys of each file what follows from them; gets the file's own, and those it extends.
        opened: is told of each file that is a mapping, with its own keys, which it may change.

    Raises:
        ConfigError: see `read_yaml`; or the file extends itself, or one that is not there.
    """
    if path.resolve() in above:
        raise ConfigError(f"{path}: extends: it extends itself")
    data = read_yaml(path)
    if not isinstance(data, dict):
        return data
    opened(data, path)
    if "extends" not in data:
        return complete(data, {})
    given = data.pop("extends")
    # an era that is named by its year is a number in YAML
    base_name = str(given) if kind == "corrections" and isinstance(given, int) else given
    if not isinstance(base_name, str) or Path(base_name).name != base_name:
        raise ConfigError(
            f"{path}: extends: must be the name of a file beside this one, or of a shipped one (got {given!r})"
        )
    if kind == "corrections":
        base_name = f"{base_name.removesuffix('.yaml')}.yaml"
    base_file = path.with_name(base_name)
    if not base_file.is_file():
        try:
            base_file = resources.find(base_name, kind)
        except OddjetsError as error:
            raise ConfigError(f"{path}: extends: {error}") from None
    base = read_extended(base_file, (*above, path.resolve()), kind=kind, complete=complete, opened=opened)
    if not isinstance(base, dict):
        what = "an analysis is a mapping with keys such as name, regions"
        if kind == "corrections":
            what = "an era is a mapping with keys such as name, files, corrections"
        raise ConfigError(f"{base_file}: {what}")
    return merge_mappings(base, complete(data, base))


def merge_mappings(base: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    """Merge one mapping into another: mappings are merged, null removes a key, everything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge_mappings(merged[key], value)
        else:
            merged[key] = value
    return merged
