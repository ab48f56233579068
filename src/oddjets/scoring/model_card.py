"""Model cards: the YAML file beside an ONNX model with all that scoring needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, overload

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from oddjets.config.yaml import StrictModel, read_yaml
from oddjets.core import resources
from oddjets.core.errors import OddjetsError, nearest, nearest_file
from oddjets.core.files import sha256_of
from oddjets.scoring.card_base import CardBase, ExternalFile, Numerics
from oddjets.scoring.column_card import ColumnCard

__all__ = [
    "AuthorsCodeScore",
    "Column",
    "Constituents",
    "ExternalFile",
    "InputTensor",
    "ModelCard",
    "Numerics",
    "Output",
    "PaperScore",
    "Quantity",
    "Species",
    "card_of",
    "load_card",
]

#: what a column of a model's input can hold, before its transform
Quantity = Literal["d_eta", "d_phi", "pt", "energy", "species", "d0", "d0_error", "dz", "dz_error"]


def _expand_indices(value: object) -> object:
    """Turn ``3``, ``"12-19"`` or a list of these into a tuple of integers."""
    if isinstance(value, (str, int)):
        return _expand_indices([value])
    if not isinstance(value, Iterable):
        return value
    indices: list[object] = []
    for item in value:
        found = re.fullmatch(r"\s*(\d{1,6})\s*-\s*(\d{1,6})\s*", item) if isinstance(item, str) else None
        if found is not None:
            indices.extend(range(int(found[1]), int(found[2]) + 1))
        else:
            indices.append(item)
    return tuple(indices)


Indices = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_expand_indices), Field(min_length=1)]


class Column(StrictModel):
    """One number per constituent: a quantity in a unit, and the function applied to it.

    ``d_eta`` and ``d_phi`` are relative to the jet axis; ``species`` is the index of `Species`.
    """

    quantity: Quantity
    unit: Literal["1", "rad", "GeV", "cm"]
    transform: Literal["none", "log", "tanh"] = "none"

    @model_validator(mode="after")
    def _known_unit(self) -> Column:
        units = {"d_eta": "1", "d_phi": "rad", "pt": "GeV", "energy": "GeV", "species": "1"}
        expected = units.get(self.quantity, "cm")
        if self.unit != expected:
            raise ValueError(f"{self.quantity} is computed in '{expected}', not in '{self.unit}'")
        return self


class InputTensor(StrictModel):
    """One input of the graph: ``shape`` is [batch, constituents] or [batch, constituents, number of columns]."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[str | int, ...]
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _shape_fits_columns(self) -> InputTensor:
        flat = self.shape == ("batch", "constituents") and len(self.columns) == 1
        if not flat and self.shape != ("batch", "constituents", len(self.columns)):
            raise ValueError(
                f"shape {list(self.shape)} does not fit {len(self.columns)} columns: write "
                f"[batch, constituents, {len(self.columns)}]"
            )
        return self


class Constituents(StrictModel):
    """The choice and order of a jet's constituents.

    Attributes:
        maximum: how many at most; the hardest are kept.
        order: how they are sorted.
        puppi: ``weighted``: pT and energy times the PUPPI weight, candidates of weight zero dropped, the axis is the
            jet's own; ``raw``: no weights, the axis is that of the sum of all candidates.
        padding: the value of every input beyond the last constituent.
        padding_is_recognised_by: the column whose value 0 means padding to the graph. A constituent of exactly 1 GeV
            has ln pT = 0, and the graph ignores it.
        without_track: the d0, dz and their errors of neutral candidates, and of charged ones without track details
            (CMS files mark both by a negative error).
        required: quantities that a file must have: without them, as in NanoAODv15, it is refused and not filled up.
    """

    maximum: Annotated[int, Field(ge=1)]
    order: Literal["descending pt"] = "descending pt"
    puppi: Literal["weighted", "raw"]
    padding: Literal[0] = 0
    padding_is_recognised_by: Literal["log pt"] = "log pt"
    without_track: Literal[0] = 0
    required: tuple[Literal["charge", "d0", "d0_error", "dz", "dz_error", "puppi_weight"], ...] = ()


class Species(StrictModel):
    """The conversion of a PDG code to the index that the model embeds.

    Attributes:
        codes: the PDG codes in the order of their indices.
        substitutes: PDG codes that count as another one.
        other_charged: what any other charged particle counts as, with the sign of its charge.
        other_neutral: what any other neutral particle counts as.
        source: where this table comes from.
    """

    codes: tuple[int, ...]
    substitutes: dict[int, int] = Field(default={})
    other_charged: int
    other_neutral: int
    source: str

    @model_validator(mode="after")
    def _targets_exist(self) -> Species:
        if len(set(self.codes)) != len(self.codes):
            raise ValueError("codes holds a code twice")
        targets = {*self.substitutes.values(), self.other_charged, -self.other_charged, self.other_neutral}
        if missing := sorted(targets - set(self.codes)):
            raise ValueError(f"not among the codes: {', '.join(map(str, missing))}")
        return self


class Output(StrictModel):
    """The graph's output.

    Attributes:
        name: its name in the graph.
        kind: logits, or probabilities.
        n_classes: its second dimension.
        softmax: the indices over which probabilities are normalised.
    """

    name: str
    kind: Literal["logits", "probabilities"]
    n_classes: Annotated[int, Field(ge=2)]
    softmax: Indices


class PaperScore(StrictModel):
    """S / (S + Q), S and Q the summed probabilities of two lists of classes (arXiv:2603.23593)."""

    formula: Literal["paper"]
    signal: Annotated[tuple[str, ...], Field(min_length=1)]
    qcd: Annotated[tuple[str, ...], Field(min_length=1)]


class AuthorsCodeScore(StrictModel):
    """P(10:) / (P(0) + P(10:) + 1e-6) of the authors' analysis code, which acts on positions.

    ``class_offset`` is the index of this output that counts as position 0.
    """

    formula: Literal["authors-code"]
    class_offset: Annotated[int, Field(ge=0)]


class ModelCard(CardBase):
    """The content of a card of ``kind: constituents``, which is the default; see `load_card`.

    Attributes:
        inputs: the inputs of the graph.
        constituents: which constituents of a jet the model gets.
        species: how PDG codes become indices, where an input needs it.
        output: the output of the graph.
        classes: name of a class to its indices in the output.
        score: its formula.
        numerics: how well the graph agrees with what it was made from.
        family: the name that all trainings of one model share, where there are several; their scores can be averaged.
        seed: of this training among them.
        metrics: numbers measured on jets that the training did not see, by name.
        notes: what else a user should know.
    """

    kind: Literal["constituents"] = "constituents"
    family: Annotated[str, Field(min_length=1)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    inputs: Annotated[tuple[InputTensor, ...], Field(min_length=1)]
    constituents: Constituents
    species: Species | None = None
    output: Output
    classes: dict[str, Indices]
    score: Annotated[PaperScore | AuthorsCodeScore, Field(discriminator="formula")]
    numerics: Numerics
    metrics: dict[str, float] = Field(default={})
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        softmax = set(self.output.softmax)
        if max(softmax) >= self.output.n_classes:
            raise ValueError(f"output.softmax: index {max(softmax)} of an output with {self.output.n_classes} classes")
        owner: dict[int, str] = {}
        for name, indices in self.classes.items():
            if "__" in f"share_{name}_":
                raise ValueError(
                    f"classes: '{name}' makes columns with two underscores, which mean a variation; take one"
                )
            for index in indices:
                if index not in softmax:
                    raise ValueError(f"classes.{name}: index {index} is not in output.softmax")
                if index in owner:
                    raise ValueError(f"classes.{name}: index {index} already belongs to {owner[index]}")
                owner[index] = name
        if isinstance(self.score, PaperScore):
            both = [*self.score.signal, *self.score.qcd]
            for name in both:
                if name not in self.classes:
                    raise ValueError(f"score: no class '{name}'; {nearest(name, self.classes)}")
            if len(set(both)) != len(both):
                raise ValueError("score: a class is listed twice in signal and qcd")
        elif not softmax.issuperset({self.score.class_offset, self.score.class_offset + 10}):
            raise ValueError(f"score.class_offset: {self.score.class_offset} leaves no position 10 in output.softmax")
        if "species" in self.quantities and self.species is None:
            raise ValueError("species: needed by an input, and missing")
        return self

    @property
    def class_names(self) -> dict[int, str]:
        """Each output of the softmax, in its order, and the class that it belongs to; "" where the card names none."""
        names = {index: name for name, indices in self.classes.items() for index in indices}
        return {index: names.get(index, "") for index in self.output.softmax}

    @cached_property
    def content_key(self) -> str:
        """Sha256 of all that a score depends on: the model, its inputs and the formula; descriptions left out."""
        descriptive = {
            "kind",
            "name",
            "file",
            "licence",
            "training",
            "trained_on_labelled",
            "family",
            "seed",
            "numerics",
            "metrics",
            "notes",
        }
        # what a file must have decides which jets are scored, and no score
        left_out: dict[str, Any] = {**dict.fromkeys(descriptive, True), "constituents": {"required"}}
        return hashlib.sha256(self.model_dump_json(exclude=left_out).encode()).hexdigest()

    @cached_property
    def model_key(self) -> str:
        """Sha256 of all that the model's output depends on; cards that differ in classes or formula alone share it."""
        used = self.model_dump(
            mode="json", include={"sha256", "external_data", "inputs", "constituents", "species", "output"}
        )
        del used["constituents"]["required"]  # decides which jets are scored, and no output
        used["external_data"] = [file["sha256"] for file in used["external_data"]]
        used["output"]["softmax"] = sorted(used["output"]["softmax"])
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()

    @property
    def quantities(self) -> frozenset[str]:
        """What the model reads of each constituent."""
        return frozenset(column.quantity for tensor in self.inputs for column in tensor.columns)


#: kind of a card to its class
_KINDS: dict[str, type[ModelCard] | type[ColumnCard]] = {"constituents": ModelCard, "jet-columns": ColumnCard}


@overload
def load_card(path: str | Path) -> ModelCard | ColumnCard: ...
@overload
def load_card(path: str | Path, kind: Literal["constituents"]) -> ModelCard: ...
@overload
def load_card(path: str | Path, kind: Literal["jet-columns"]) -> ColumnCard: ...
def load_card(path: str | Path, kind: str | None = None) -> ModelCard | ColumnCard:
    """Read a model card and verify the files that it names.

    Args:
        path: the card's YAML file, or the name of one that the package carries; the model's files are looked for in its
            folder.
        kind: the kind that the card must have; None: any.

    Returns:
        The card; ``card.path`` is the ONNX file, whose sha256 is the one that the card states. A `ModelCard` is of a model of
        constituents, and `oddjets.scoring.column_card.ColumnCard` of one of columns of the jet.

    Raises:
        OddjetsError: the card or the model is missing, the card is invalid (all its errors are listed) or of another kind, or
            a file's sha256 is not the stated one.

    Examples:
        >>> import oddjets
        >>> card = oddjets.load_card("omnilearned_small_simulation.yaml")
        >>> card.path.suffix, card.kind
        ('.onnx', 'constituents')
    """
    given: Any = path
    if not isinstance(given, (str, Path)) or not str(given).strip():
        raise OddjetsError(f"a model card is a YAML file, or its name in the package; got {repr(given)[:80]}")
    path = Path(path)
    if not path.is_file() and path.name == str(path):
        with suppress(OddjetsError):
            path = resources.find(path.name, "models", suffixes=("", ".yaml"))
    if not path.is_file():
        cards = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        if path.name == str(path):
            cards += [name for name in resources.available("models") if name.endswith(".yaml")]
        raise OddjetsError(f"no model card {path}; {nearest_file(path.name, cards) or 'its folder holds no card'}")
    card = card_of(read_yaml(path), path)
    if kind not in (None, card.kind):
        raise OddjetsError(f"{path} is a card of kind '{card.kind}', and a model of kind '{kind}' is needed here")
    card._folder = path.parent.resolve()
    _verify(path, card._folder / card.file, card.sha256)
    for extra in card.files_beside:
        _verify(path, card._folder / extra.file, extra.sha256)
    return card


def card_of(content: Any, path: Path) -> ModelCard | ColumnCard:
    """Make a card of what a file says, or will say; the model is not looked for.

    Args:
        content: what is in the file.
        path: the file, for messages.

    Raises:
        OddjetsError: the card is invalid; all its errors are listed.
    """
    kind = content.get("kind", "constituents") if isinstance(content, dict) else "constituents"
    made = _KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise OddjetsError(f"{path} is not a valid model card:\n  kind: no kind '{kind}'; {nearest(str(kind), _KINDS)}")
    try:
        return made.model_validate(content)
    except ValidationError as error:
        # a list without any valid item is empty, and pydantic says that too
        items = [item for item in error.errors() if item["type"] != "too_short" or not item["input"]]
        lines = [_describe(item, content, made) for item in items]
        raise OddjetsError("\n  ".join([f"{path} is not a valid model card:", *lines])) from error


def _describe(item: Any, content: object, made: type[CardBase]) -> str:
    """Say where in the card an error of pydantic is, and what would be right."""
    where = ".".join(str(part) for part in item["loc"]) or "the card"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = list(made.model_fields) if len(item["loc"]) == 1 else []
        message = f"unknown key; {nearest(str(item['loc'][-1]), known)}".removesuffix("; ")
    elif item["type"] == "missing":
        message = "missing"
    elif item["type"] == "literal_error":
        message = f"should be {item['ctx']['expected']} (got {item['input']!r})"
    elif item["type"] == "too_short":
        message = "is empty"
    elif item["type"] == "union_tag_invalid":
        formulas = str(item["ctx"]["expected_tags"]).replace("'", "").split(", ")
        message = f"no formula '{item['ctx']['tag']}'; {nearest(item['ctx']['tag'], formulas)}"
    elif not isinstance(content, dict):
        message = "holds no keys"
    return f"{where}: {message}"


def _verify(card: Path, file: Path, sha256: str) -> None:
    """Raise unless ``file`` exists in the card's folder and has this sha256."""
    if not file.is_file():
        raise OddjetsError(f"{card} names {file.name}, and {file} does not exist: put the model beside its card")
    if not file.resolve().is_relative_to(card.parent.resolve()):
        raise OddjetsError(f"{file} of {card} is a link that leaves the card's folder: put the file itself there")
    found = sha256_of(file)
    if found != sha256:
        raise OddjetsError(
            f"{file} has sha256 {found}, and {card} states {sha256}: the file was changed or cut short; "
            "fetch it again, or correct the card if you changed it on purpose"
        )
