"""The sections ``selection``, ``scores`` and ``threshold`` of an analysis YAML: objects, the base selection, per-jet scores."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from oddjets.config.taggers import TaggerNames
from oddjets.config.yaml import Name, StrictModel

__all__ = ["JetSelection", "LeptonSelection", "Score", "Selection", "Threshold"]


class JetSelection(StrictModel):
    """Cuts on each of the two leading AK8 jets; the defaults are the paper's (arXiv:2603.23593)."""

    pt_min: float = Field(default=450.0, ge=0, description="minimum pT, GeV; the cut 'jet_pt'")
    eta_max: float = Field(default=2.5, gt=0, description="maximum |eta|")
    mass_min: float = Field(default=60.0, ge=0, description="minimum soft-drop mass, GeV; the cut 'jet_mass'")
    tight_id: bool = Field(
        default=True,
        description="require the tight jet ID: bit 1 of FatJet_jetId, or computed if a file has no jetId (NanoAODv15)",
    )


class LeptonSelection(StrictModel):
    """The selection of the muons or electrons of the veto."""

    pt_min: float = Field(ge=0, description="minimum pT, GeV")
    eta_max: float = Field(default=2.5, gt=0, description="maximum |eta|")
    identification: str | None = Field(
        default=None,
        description="a boolean branch of the collection, or a comparison such as 'cutBased>=3'; not given: no ID",
    )
    isolation: str | None = Field(
        default=None, description="the relative isolation: a branch of the collection; not given: no isolation cut"
    )
    isolation_max: float = Field(default=0.25, gt=0, description="maximum of the branch 'isolation'")


class Selection(StrictModel):
    """The base selection: cut names in order, and their parameters."""

    cuts: tuple[Name, ...] = Field(
        default=("trigger", "event_filters", "two_jets", "jet_pt", "jet_mass", "lepton_veto"),
        max_length=63,
        description="names of the cuts that an event must pass, in the order of the cutflow",
    )
    triggers: tuple[str, ...] = Field(
        default=(),
        description="HLT paths for the cut 'trigger', with or without HLT_: one of them must have fired. A path that a file"
        " does not have counts as not fired",
    )
    filters: tuple[str, ...] = Field(
        default=(),
        description="event filters for the cut 'event_filters', without the prefix Flag_: all of them must pass",
    )
    jets: JetSelection = Field(default=JetSelection(), description="cuts on the two leading AK8 jets")
    muons: LeptonSelection = Field(
        default=LeptonSelection(pt_min=30.0, identification="tightId", isolation="pfRelIso04_all", isolation_max=0.15),
        description="the muons of the cut 'lepton_veto'. The default: pT above 30 GeV, tightId, pfRelIso04_all below 0.15;"
        " a key 'muons' in the YAML replaces all of it",
    )
    electrons: LeptonSelection = Field(
        default=LeptonSelection(pt_min=15.0, identification="cutBased>=3"),
        description="the electrons of the cut 'lepton_veto'. The default: pT above 15 GeV, cutBased>=3; a key 'electrons' in"
        " the YAML replaces all of it",
    )
    taggers: TaggerNames = Field(
        default=TaggerNames(), description="the FatJet branches of b tag and ParticleNet; by default those of NanoAODv9"
    )
    tau21_max: float = Field(
        default=0.45, gt=0, description="the cut 'low_tau21' of the paper's regions: tau21 of both jets below this"
    )
    subleading_mass_split: float = Field(
        default=100.0,
        gt=0,
        description="GeV; the cut 'heavy_subleading' (SR1): the subleading jet's soft-drop mass above this",
    )
    btag_min: float = Field(
        default=0.5847,
        description="the cut 'btagged': b tag of at least one jet above this. The default is the medium working point of"
        " DeepCSV for 2016 UL post-VFP (CMS BTV)",
    )
    golden_json: str | None = Field(
        default=None,
        description="the golden JSON, for the cut 'certified': a file, or 'era' for the one of the era's YAML; not given:"
        " no data are removed",
    )
    luminosity_table: str | None = Field(
        default=None,
        description="brilcalc CSV with the luminosity of every section (portal record 1059); not given: the luminosity is"
        " estimated from the fraction of certified sections read",
    )
    parameters: dict[str, Any] = Field(
        default={}, description="values for your own processor, which reads them as self.parameters"
    )

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
    """The source of a per-jet score: a model with a card, class groups of another score's model, a column, or branches."""

    card: str | None = Field(default=None, description="the model card (YAML), next to the analysis or in models/")
    of: Name | None = Field(
        default=None,
        description="the name of a score with a card: this score is sum(signal) / (sum(signal) + sum(background)) of class"
        " groups of that card, from the same inference",
    )
    column: str | None = Field(
        default=None,
        description="a column of both jets of the event table, without _1 and _2, which is the score as it is: a tagger, or"
        " one that the processor's jet_columns makes; with `oddjets import-npz` a column of the imported files",
    )
    signal: tuple[str, ...] = Field(
        default=(),
        description="FatJet branches; the score is sum(signal) / (sum(signal) + sum(background)). With 'of': names of"
        " class groups of the card",
    )
    background: tuple[str, ...] = Field(
        default=(),
        description="FatJet branches of the background, see 'signal'. With 'of': class groups of the card, by default the"
        " 'qcd' of a card with the formula 'paper'",
    )
    label: str = Field(default="anomaly score", description="the name in figures")
    keep_probabilities: bool = Field(
        default=False,
        description="of a score with a card: write the model's class probabilities to the event table as well, as"
        " prob_<class>_<score>_1 and _2, or prob_<class>_<number>_<score>_1 and _2 where a class has several numbers;"
        " `oddjets export-npz` needs them",
    )

    @property
    def sources(self) -> list[str]:
        """The keys that say what the score is made of; one, if it is valid ('branches' for those of the jet)."""
        given = {
            "card": self.card is not None,
            "of": self.of is not None,
            "column": self.column is not None,
            "branches": self.of is None and bool(self.signal),
        }
        return [source for source, there in given.items() if there]

    @model_validator(mode="after")
    def _one_source(self) -> Score:
        if len(self.sources) != 1:
            raise ValueError("give one of 'card', 'of', 'column', or 'signal' and 'background' branches")
        return self

    @model_validator(mode="after")
    def _lists_that_fit(self) -> Score:
        (source,) = self.sources
        if source == "branches" and not self.background:
            raise ValueError("'signal' branches need 'background' branches")
        if source == "of":
            if not self.signal:
                raise ValueError("'of' needs 'signal', a list of class groups of the card")
            for name in (*self.signal, *self.background):
                if (self.signal + self.background).count(name) > 1:
                    raise ValueError(f"the class group '{name}' is listed twice in 'signal' and 'background'")
        elif source != "branches" and (self.signal or self.background):
            raise ValueError(f"'signal' and 'background' do not go with '{source}'")
        if self.keep_probabilities and source != "card":
            raise ValueError("'keep_probabilities' belongs to the score with the 'card'")
        return self


class Threshold(StrictModel):
    """The cut on the scores that defines the letters A, B, C, D."""

    score: Name = Field(description="the name of the score, from 'scores'")
    efficiency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the fraction of the data after the base selection with both scores above the threshold, which is"
        " found from the data; 0.01 is 1 %",
    )
    value: float | None = Field(default=None, description="a fixed threshold, instead of 'efficiency'")
    strict: bool = Field(
        default=False,
        description="true: a score equal to the threshold fails, as in the authors' code; false: it passes",
    )

    @model_validator(mode="after")
    def _one(self) -> Threshold:
        if (self.efficiency is None) == (self.value is None):
            raise ValueError(
                "give either 'efficiency' (a threshold from data) or 'value' (a fixed one);"
                " 'efficiency: null' removes an inherited one"
            )
        return self
