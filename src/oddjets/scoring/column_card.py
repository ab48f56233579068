"""Model cards of ``kind: jet-columns``: a model that reads named columns of a jet, such as boosted trees."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from oddjets.config.yaml import StrictModel
from oddjets.scoring.card_base import CardBase, ExternalFile, Numerics

__all__ = ["ColumnCard", "ColumnInput", "ColumnOutput", "ColumnScore", "ColumnTensor", "LearntFolds", "known_unit"]

#: units of the columns of every processor's jets
_UNITS = {
    **dict.fromkeys(("pt", "mass", "mass_ungroomed"), "GeV"),
    "phi": "rad",
    **dict.fromkeys(("eta", "tau1", "tau2", "tau3", "tau4", "btag", "xbb", "xqq", "xcc", "n_constituents"), "1"),
}
#: of another score's columns
_OF_SCORES = ("score_", "share_", "prob")


def known_unit(column: str) -> str | None:
    """Return the unit of a column of a jet; None of an expression, and of a column that a processor adds."""
    column = column.strip()
    return _UNITS.get(column, "1" if re.fullmatch(r"\w+", column) and column.startswith(_OF_SCORES) else None)


def _missing(value: object) -> object:
    if value == "error":
        return value
    try:
        # YAML's yes and no are no numbers, although Python counts with them; its 1e-3 is a text
        number = math.inf if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number):
        raise ValueError(f"should be nan, a number, or error (got {value!r})")
    # .nan of YAML is the number; the quoted or bare word is a text
    return "nan" if math.isnan(number) else number


class ColumnInput(StrictModel):
    """One number per jet: a column of the jet, or an expression of such columns.

    Attributes:
        column: a column of the event table without ``_1`` and ``_2``: a built-in one (pt, eta, phi, mass, mass_ungroomed, tau1
            to tau4, btag, xbb, xqq, xcc, n_constituents), one of the processor's ``jet_columns``, or another score's
            (score_NAME); or an expression, such as tau3 / tau2 or log(pt).
        unit: of the column; 1 for a pure number. Checked where it is known; of an expression and of a processor's own column it
            tells a reader.
        missing: what a jet gets whose value is not finite (NaN, or infinite as 1 / 0): nan, for models that know what to do
            with it; a number; or error.
        may_be_constant: whether all jets of a dataset may have one value, as that of a parameter has.
    """

    column: Annotated[str, Field(min_length=1)]
    unit: Annotated[str, Field(min_length=1)]
    missing: Annotated[Literal["error", "nan"] | float, BeforeValidator(_missing)] = "error"
    may_be_constant: bool = False

    @model_validator(mode="after")
    def _understood(self) -> ColumnInput:
        # here, as in the next functions: expressions need NumPy, and cards are loaded where none is needed
        from oddjets.core.expressions import ExpressionError, names_in

        try:
            names = names_in(self.column)
        except ExpressionError as error:
            # pydantic takes this kind for its list
            raise ValueError(str(error)) from None
        if not names:
            raise ValueError(f"'{self.column}' reads no column")
        for name in sorted(names):
            if "__" in name or name[:-2] in _UNITS:
                raise ValueError(f"'{name}' is a column of an event: a card is of one jet, as in '{name[:-2]}'")
        self._computed(names)
        if (expected := known_unit(self.column)) not in (None, self.unit):
            raise ValueError(f"{self.column} is in '{expected}', not in '{self.unit}'")
        return self

    def _computed(self, names: set[str]) -> None:
        """Compute an expression of known columns once, so that what cannot be computed is said before there are jets."""
        import numpy as np

        from oddjets.core.expressions import ExpressionError, evaluate

        if any(known_unit(name) is None for name in names):
            # a processor's own column may be a number or a condition
            return
        try:
            evaluate(self.column, {name: np.ones(1) for name in names})
        except ExpressionError as error:
            raise ValueError(str(error)) from None


class ColumnTensor(StrictModel):
    """One input of the graph.

    Attributes:
        name: in the graph.
        dtype: of its numbers.
        shape: [batch, number of columns], or [batch] for one column.
        columns: what it holds.
    """

    name: str
    dtype: Literal["float32", "float64"] = "float32"
    shape: tuple[str | int, ...]
    columns: Annotated[tuple[ColumnInput, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _shape_fits_columns(self) -> ColumnTensor:
        number = len(self.columns)
        if self.shape != ("batch", number) and not (self.shape == ("batch",) and number == 1):
            raise ValueError(f"shape {list(self.shape)} does not fit {number} columns: write [batch, {number}]")
        names = [column.column for column in self.columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"columns: '{twice[0]}' is listed twice")
        return self


class ColumnOutput(StrictModel):
    """The output of the graph.

    Attributes:
        name: in the graph.
        n_columns: its second dimension; 1 also for an output of the shape [batch].
        index: the column that the score is computed from, counted from 0.
    """

    name: str
    n_columns: Annotated[int, Field(ge=1)] = 1
    index: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _is_there(self) -> ColumnOutput:
        if self.index >= self.n_columns:
            raise ValueError(f"index {self.index} of an output with {self.n_columns} columns, counted from 0")
        return self


class ColumnScore(StrictModel):
    """The formula of the score.

    Attributes:
        formula: sigmoid of the output, a logit; softmax of all columns of the output, logits of classes, of which the score is
            the one at ``output.index``; probability: the output as it is, between 0 and 1; raw: the output as it is.
    """

    formula: Literal["sigmoid", "softmax", "probability", "raw"]


class LearntFolds(StrictModel):
    """Folds of a score that was learnt from data: each column of the output is the score by the model of one fold of events.

    Attributes:
        folds: how many; fold k is of the events whose hash (`oddjets.learning.event_hash`) is k modulo this number.
        members: trainings of each fold, whose raw scores are averaged.
        method: how jets were labelled, or that they were not.
        seed_score: the score that labelled them; not given: none.
        analysis: name of the analysis whose data they are.
        events: file with the sorted hashes of the events that were trained on, uint64, little-endian, without a header.
        n_events: how many.
        agreement: mean rank correlation of the scores of two members, over jets that they did not see; 1 of one member.
        least_agreement: below this the members disagree, and the card is refused.
    """

    folds: Annotated[int, Field(ge=2)]
    members: Annotated[int, Field(ge=1)]
    method: str
    seed_score: str | None = None
    analysis: str
    events: ExternalFile
    n_events: Annotated[int, Field(ge=1)]
    agreement: Annotated[float, Field(ge=-1, le=1)]
    least_agreement: Annotated[float, Field(ge=-1, le=1)]

    @model_validator(mode="after")
    def _members_agree(self) -> LearntFolds:
        if self.agreement < self.least_agreement:
            raise ValueError(
                f"the members disagree: the rank correlation of two is {self.agreement:.2f}, and has to be"
                f" {self.least_agreement:.2f} at least, else the score is that of chance; learn it from more events, or other"
                " columns"
            )
        return self


class ColumnCard(CardBase):
    """The content of a card of ``kind: jet-columns``; see `oddjets.scoring.model_card.load_card`.

    Attributes:
        inputs: the inputs of the graph.
        output: the output of the graph that the score is computed from.
        score: how it is computed.
        numerics: how well the graph agrees with what it was made from, in the score.
        learnt: of a score that was learnt from data fold by fold; not given: any other.
        metrics: numbers measured on jets that the training did not see, by name.
        notes: what else a user should know.
    """

    kind: Literal["jet-columns"]
    inputs: Annotated[tuple[ColumnTensor, ...], Field(min_length=1)]
    output: ColumnOutput
    score: ColumnScore
    numerics: Numerics
    learnt: LearntFolds | None = None
    metrics: dict[str, float] = Field(default={})
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> ColumnCard:
        if self.score.formula == "softmax" and self.output.n_columns < 2:
            raise ValueError("score.formula: a softmax of one number is 1; of a single logit take the sigmoid")
        names = [tensor.name for tensor in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("inputs: two have the same name")
        if self.learnt is not None:
            if self.output.n_columns != self.learnt.folds:
                raise ValueError(
                    f"learnt.folds: {self.learnt.folds} folds, and the output has {self.output.n_columns} columns"
                )
            if self.score.formula == "softmax":
                raise ValueError("score.formula: the columns of the output are folds, and no classes for a softmax")
            if not self.learnt_from_data:
                raise ValueError("trained_on_labelled: a score that was learnt from data names 'data'")
        return self

    @property
    def files_beside(self) -> tuple[ExternalFile, ...]:
        """The files in the card's folder that belong to it, apart from the ONNX file."""
        return (*self.external_data, *(() if self.learnt is None else (self.learnt.events,)))

    @property
    def columns(self) -> tuple[ColumnInput, ...]:
        """All columns and expressions, in the order of the inputs."""
        return tuple(column for tensor in self.inputs for column in tensor.columns)

    @property
    def columns_read(self) -> frozenset[str]:
        """The columns of a jet that are read, those inside of expressions too."""
        from oddjets.core.expressions import names_in

        return frozenset(name for column in self.columns for name in names_in(column.column))

    @property
    def reads_constituents(self) -> bool:
        """Whether the PF candidates of jets have to be read: to be counted."""
        return "n_constituents" in self.columns_read

    def reads_what(self) -> dict[str, str]:
        """Return each column that is read, to the column or expression of the card that reads it."""
        from oddjets.core.expressions import names_in

        return {name: column.column for column in self.columns[::-1] for name in sorted(names_in(column.column))}
