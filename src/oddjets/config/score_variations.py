"""The section `score_variations` of an analysis YAML: uncertainties of the constituents, with which jets are scored again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from oddjets.config.eras import Correlation
from oddjets.config.yaml import StrictModel

__all__ = ["DEFAULTS", "OURS", "DefaultSize", "ScoreVariation", "ScoreVariations", "TrackEfficiency"]

#: what is said of a size that nobody gives a source for
OURS = "ours: an assumption, without a measurement behind it"
#: the sides that are computed; the other side is the mirror image of the one
Directions = tuple[Literal["Up", "Down"], ...]


class DefaultSize(NamedTuple):
    """The size of a variation that the YAML gives none for.

    Attributes:
        size: as `ScoreVariation.size`.
        source: where it is from.
        directions: the sides that are computed.
    """

    size: float
    source: str
    directions: Directions = ("Up", "Down")


DEFAULTS: Mapping[str, DefaultSize] = MappingProxyType(
    {
        "charged_scale": DefaultSize(0.01, OURS),
        "neutral_scale": DefaultSize(0.03, OURS),
        "photon_scale": DefaultSize(0.01, OURS),
        "track_efficiency": DefaultSize(
            0.027,
            "ATLAS, arXiv:1704.07983: error of the fraction of tracks that are lost where pixel clusters merge, 0.093 +-"
            " 0.017 +- 0.021 in jets of 1400 to 1600 GeV (0.061 +- 0.006 +- 0.014 at 200 to 400 GeV)",
            ("Down",),
        ),
        "impact_parameters": DefaultSize(0.1, OURS, ("Up",)),
        "puppi_weights": DefaultSize(0.2, OURS),
    }
)


class ScoreVariation(StrictModel):
    """An uncertainty of the constituents of jets."""

    size: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="its size: of a scale, the relative change of pT and mass; of 'track_efficiency', the part of the tracks in"
        " dense cores that is lost; of 'impact_parameters', the relative growth of the resolution; of 'puppi_weights', the"
        " shift of ln(w / (1 - w)). 0 changes nothing. Not given: the value in docs/corrections.md",
    )
    source: str | None = Field(
        default=None,
        min_length=1,
        description="where the size is from, as the manifest and the report say it; not given: that of the size that is not"
        " given, or, of a size that is, that it is an assumption",
    )
    processes: tuple[str, ...] | None = Field(
        default=None,
        description="the processes that it acts on; not given: all simulated ones, without the one with 'data_driven: true'",
    )
    correlation: Correlation | None = Field(
        default=None,
        description="of several eras, as in 'systematics': all, era, or era to a label. Not given: what the eras' files say of"
        " this name, else one nuisance parameter for all",
    )


class TrackEfficiency(ScoreVariation):
    """The uncertainty of the efficiency of tracks in dense cores."""

    radius: float = Field(
        default=0.02,
        gt=0,
        allow_inf_nan=False,
        description="a charged hadron is in a dense core if a harder charged candidate of the jet is nearer than this in"
        " (eta, phi)",
    )


class ScoreVariations(StrictModel):
    """Uncertainties of the constituents of jets: both jets of simulated events are varied and scored again.

    Each is off unless it is listed; ``{}`` takes its default size.
    """

    charged_scale: ScoreVariation | None = Field(default=None, description="energy scale of charged hadrons")
    neutral_scale: ScoreVariation | None = Field(default=None, description="energy scale of neutral hadrons")
    photon_scale: ScoreVariation | None = Field(default=None, description="energy scale of photons")
    track_efficiency: TrackEfficiency | None = Field(
        default=None,
        description="efficiency of tracks in dense cores: some charged hadrons there are dropped; one-sided",
    )
    impact_parameters: ScoreVariation | None = Field(
        default=None, description="resolution of d0 and dz: both are smeared, and their errors scaled; one-sided"
    )
    puppi_weights: ScoreVariation | None = Field(
        default=None, description="PUPPI weights between 0 and 1; those that are 0 or 1 stay"
    )

    @model_validator(mode="after")
    def _some(self) -> ScoreVariations:
        if not self.listed:
            raise ValueError(
                f"lists no variation; give some of {', '.join(DEFAULTS)}, as 'photon_scale: {{}}', or leave the section out"
            )
        return self

    @property
    def listed(self) -> dict[str, ScoreVariation]:
        """The variations that are asked for, by name, in the order of `DEFAULTS`."""
        return {name: found for name in DEFAULTS if (found := getattr(self, name)) is not None}

    def size_of(self, name: str) -> float:
        """Return the size of a listed variation."""
        size = self.listed[name].size
        return DEFAULTS[name].size if size is None else size

    def source_of(self, name: str) -> str:
        """Return where the size of a listed variation is from."""
        found = self.listed[name]
        if found.source is not None:
            return found.source
        return DEFAULTS[name].source if found.size is None else OURS

    def stated(self) -> dict[str, dict[str, object]]:
        """Return what is varied and by how much, for keys and manifests: name to size, radius, directions and source."""
        return {
            name: {
                "size": self.size_of(name),
                **({"radius": found.radius} if isinstance(found, TrackEfficiency) else {}),
                "directions": list(DEFAULTS[name].directions),
                "source": self.source_of(name),
            }
            for name, found in self.listed.items()
        }
