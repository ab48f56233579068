"""The sections ``selection``, ``scores`` and ``threshold`` of an analysis YAML: objects, the base selection, per-jet scores."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from oddjets.config.taggers import TaggerNames
from oddjets.config.yaml import Name, StrictModel

__all__ = ["JetSelection", "LeptonSelection", "Score", "Selection", "Threshold"]


class JetSelection(StrictModel):
    """Cuts on each of the two leading AK8 jets; the defaults are the paper's (arXiv:2603.23593)."""

    pt_min: float = Field(default=450.0, ge=0, description="GeV")
    eta_max: float = Field(default=2.5, gt=0)
    mass_min: float = Field(default=60.0, ge=0, description="soft-drop mass, GeV")
    tight_id: bool = Field(default=True, description="jetId bit 1; computed where a file has no jetId (NanoAODv15)")


class LeptonSelection(StrictModel):
    """The selection of the muons or electrons of the veto."""

    pt_min: float = Field(ge=0, description="GeV")
    eta_max: float = Field(default=2.5, gt=0)
    identification: str | None = Field(
        default=None, description="a boolean branch of the collection, or 'cutBased>=N' for electrons; None: no ID"
    )
    isolation: str | None = Field(default=None, description="the isolation branch of the collection; None: none asked")
    isolation_max: float = Field(default=0.25, gt=0)


class Selection(StrictModel):
    """The base selection: cut names in order, and their parameters."""

    cuts: tuple[Name, ...] = Field(
        default=("trigger", "event_filters", "two_jets", "jet_pt", "jet_mass", "lepton_veto"),
        max_length=63,
        description="all must pass, in the cutflow's order",
    )
    triggers: tuple[str, ...] = Field(
        default=(),
        description="HLT paths without the prefix HLT_; their OR; an absent path is False. The cut 'trigger' needs one",
    )
    filters: tuple[str, ...] = Field(
        default=(), description="event filters without the prefix Flag_, for the cut 'event_filters'"
    )
    jets: JetSelection = JetSelection()
    muons: LeptonSelection = LeptonSelection(
        pt_min=30.0, identification="tightId", isolation="pfRelIso04_all", isolation_max=0.15
    )
    electrons: LeptonSelection = LeptonSelection(pt_min=15.0, identification="cutBased>=3")
    taggers: TaggerNames = TaggerNames()
    tau21_max: float = Field(default=0.45, gt=0, description="low-tau21 region: both jets below")
    subleading_mass_split: float = Field(default=100.0, gt=0, description="GeV; SR1 above, SR2 below")
    btag_min: float = Field(default=0.5847, description="DeepCSV medium working point, 2016 UL post-VFP (CMS BTV)")
    golden_json: str | None = Field(
        default=None, description="which luminosity sections of data are certified: a file, or 'era' for the era's own"
    )
    luminosity_table: str | None = Field(
        default=None, description="brilcalc CSV with the luminosity of every section (portal record 1059)"
    )
    parameters: dict[str, Any] = Field(default={}, description="for the cuts of a subclass: self.parameters")

    @field_validator("triggers")
    @classmethod
    def _prefix(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(v.removeprefix("HLT_") for v in value)

    @model_validator(mode="after")
    def _own_working_point(self) -> Selection:
        if "btag_min" not in self.model_fields_set:
            self.taggers.require_deep_csv()
        return self


class Score(StrictModel):
    """The source of a per-jet score: a model with a card, or branches of the jet."""

    card: str | None = Field(default=None, description="model card (YAML); found beside the analysis or in models/")
    column: str | None = Field(default=None, description="a jet's column of an imported table, without _1 and _2")
    signal: tuple[str, ...] = Field(default=(), description="FatJet branches whose sum is the numerator")
    background: tuple[str, ...] = Field(default=(), description="FatJet branches added to it in the denominator")
    label: str = "anomaly score"
    keep_probabilities: bool = Field(
        default=False,
        description="write the class probabilities to the event table too, prob<number of the class>_<score>_1 and _2;"
        " `export-npz` needs them",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Score:
        if sum((self.card is not None, bool(self.signal), self.column is not None)) != 1:
            raise ValueError("give one of 'card', 'column', or 'signal' and 'background' branches")
        if self.signal and not self.background:
            raise ValueError("'signal' branches need 'background' branches")
        return self


class Threshold(StrictModel):
    """The cut on the scores that defines the letters A, B, C, D."""

    score: Name
    efficiency: float | None = Field(
        default=None, gt=0, lt=1, description="fraction of data, after the base selection, with both scores above"
    )
    value: float | None = Field(default=None, description="a fixed threshold instead; needs no data")
    strict: bool = Field(default=False, description="scores equal to the threshold fail, as in the authors' code")

    @model_validator(mode="after")
    def _one(self) -> Threshold:
        if (self.efficiency is None) == (self.value is None):
            raise ValueError("give either 'efficiency' (a threshold from data) or 'value' (a fixed one)")
        return self
