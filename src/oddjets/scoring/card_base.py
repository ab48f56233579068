"""The parts that all model cards have in common, whatever the model reads: its file, its licence and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PrivateAttr

from oddjets.config.yaml import StrictModel
from oddjets.core.paths import inside_folder

__all__ = ["CardBase", "ExternalFile", "Numerics"]


#: the label of a training on the data of a search, against simulation or against data of other regions
DATA_LABEL = "data"


def _inside_folder(name: str) -> str:
    return inside_folder(name, "the card's folder")


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_inside_folder)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ExternalFile(StrictModel):
    """A file in the card's folder that belongs to the model, such as weights that the ONNX file refers to."""

    file: RelativePath
    sha256: Sha256


class Numerics(StrictModel):
    """The tolerance and the measured differences of class probabilities, or of the score, from the reference."""

    reference: str
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    median: float | None = None
    quantile_99: float | None = None
    maximum: float | None = None


class CardBase(StrictModel):
    """The part of a model card that does not depend on what the model reads.

    Attributes:
        kind: what the model reads.
        name: of the model.
        file: the ONNX file, in the card's folder.
        sha256: of the ONNX file.
        external_data: files with weights that the ONNX file refers to.
        opset: version of the standard ONNX operators.
        licence: of the model.
        training: what it was trained on, and how.
        trained_on_labelled: the known particles whose labels the training saw; empty for a model whose finding them
            is a find. ``data``: it was learnt from the data of a search.
    """

    kind: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    file: RelativePath
    sha256: Sha256
    external_data: tuple[ExternalFile, ...] = ()
    opset: int
    licence: str
    training: str
    trained_on_labelled: tuple[str, ...]

    _folder: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self._folder / self.file

    @property
    def files_beside(self) -> tuple[ExternalFile, ...]:
        """The files in the card's folder that belong to it, apart from the ONNX file."""
        return self.external_data

    @property
    def reads_constituents(self) -> bool:
        """Whether the PF candidates of jets have to be read for the score."""
        return True

    @property
    def learnt_from_data(self) -> bool:
        """Whether the training saw the data of a search: its card then names ``data`` among the labels."""
        return DATA_LABEL in self.trained_on_labelled

    @property
    def caveat(self) -> str:
        """The warning of a report about a model trained on labels of known particles or on data; "" for others."""
        said = []
        if known := [label for label in self.trained_on_labelled if label != DATA_LABEL]:
            said.append(
                f"The model {self.name} was trained on labelled {', '.join(known)}: "
                "finding them checks the chain and is no discovery."
            )
        if self.learnt_from_data:
            said.append(
                f"The model {self.name} was learnt from the data of a search: with other data it would be another model."
            )
        return " ".join(said)
