"""The sections ``selection``, ``scores`` and ``threshold`` of an analysis YAML: objects, the base selection, per-jet scores."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from oddjets.config.taggers import TaggerNames
from oddjets.config.yaml import Name, StrictModel

__all__ = ["FlatBins", "JetSelection", "LeptonSelection", "Score", "ScoreName", "Selection", "Threshold", "member_name"]

#: the ways to combine scores, as they are named in a score
COMBINATIONS = ("product", "max", "min", "mean")
#: scores in one combination; the product of more tail probabilities could be smaller than any number
MOST_COMPONENTS = 16


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


class FlatBins(StrictModel):
    """The bins of the jet's mass and pT in which a combination of scores is made flat."""

    mass: tuple[float, ...] | None = Field(
        default=None,
        description="edges in the jet's soft-drop mass, GeV, rising; a jet beyond them is in the nearest bin",
    )
    pt: tuple[float, ...] | None = Field(
        default=None, description="edges in the jet's pT, GeV, rising; a jet beyond them is in the nearest bin"
    )

    @property
    def edges(self) -> dict[str, tuple[float, ...]]:
        """The edges by quantity, ``mass`` and ``pt``, GeV; of one or both."""
        given = {"mass": self.mass, "pt": self.pt}
        return {name: edges for name, edges in given.items() if edges is not None}

    @model_validator(mode="after")
    def _rising(self) -> FlatBins:
        if not self.edges:
            raise ValueError("give edges of 'mass' or of 'pt', or of both")
        for name, edges in self.edges.items():
            if len(edges) < 2 or any(not low < high for low, high in itertools.pairwise(edges)):
                raise ValueError(f"'{name}' needs two edges or more, each above the one before")
        return self


def _of_one_event(name: str) -> str:
    if "__" in f"score_{name}_1":
        raise ValueError(
            f"'{name}' makes columns with two underscores, which divide a column from its variation, as in mass_1__jesUp; take"
            " one, and none at the end"
        )
    return name


#: of a score: it is part of names of columns
ScoreName = Annotated[Name, AfterValidator(_of_one_event)]


def member_name(family: str, number: int) -> str:
    """Return the name of the score of a member of a family, in columns of the event table: ``NAME_member1``.

    Args:
        family: the name of the family's score.
        number: the place of its card in the list, from 1.
    """
    return f"{family}_member{number}"


class Score(StrictModel):
    """The source of a per-jet score: a model with a card, class groups of its classes, a column, branches, or other scores."""

    card: str | None = Field(default=None, description="the model card (YAML), next to the analysis or in models/")
    of: Name | None = Field(
        default=None,
        description="the name of a score with a card: this score is sum(signal) / (sum(signal) + sum(background)) of class"
        " groups of that card, from the same inference",
    )
    family: tuple[str, ...] = Field(
        default=(),
        description="model cards of several trainings of one model (`oddjets model train --seeds`), two or more: the score is"
        " the mean of the members' log odds, and each member's score is a column too",
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
    label: str | None = Field(
        default=None,
        description="the name in figures; not given: 'anomaly score', or the name of the score, if there are several",
    )
    keep_probabilities: bool = Field(
        default=False,
        description="of a score with a card: write the model's class probabilities to the event table as well, as"
        " prob_<class>_<score>_1 and _2, or prob_<class>_<number>_<score>_1 and _2 where a class has several numbers;"
        " `oddjets export-npz` needs them",
    )

    def members(self, name: str) -> dict[str, str]:
        """Return the name of each member's score to its card; empty, if this is no family.

        Args:
            name: of this score.
        """
        return {member_name(name, i): card for i, card in enumerate(self.family, 1)}

    @property
    def sources(self) -> list[str]:
        """The keys that say what the score is made of; one, if it is valid ('branches' for those of the jet)."""
        given = {
            "card": self.card is not None,
            "of": self.of is not None,
            "family": bool(self.family),
            "column": self.column is not None,
            "branches": self.of is None and bool(self.signal),
            **{how: getattr(self, how) is not None for how in COMBINATIONS},
        }
        return [source for source, there in given.items() if there]

    @model_validator(mode="after")
    def _one_source(self) -> Score:
        if len(self.sources) != 1:
            raise ValueError(
                "give one of 'card', 'of', 'family', 'column', 'signal' and 'background' branches, or a combination of other"
                f" scores: {', '.join(map(repr, COMBINATIONS))}"
            )
        return self

    @field_validator("family")
    @classmethod
    def _several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) == 1:
            raise ValueError(f"a family has two members or more; for a single model write 'card: {value[0]}'")
        for card in value:
            if value.count(card) > 1:
                raise ValueError(f"the card '{card}' is listed twice, so that its training would count twice")
        return value

    # ---- combinations of other scores: what is found from data after all files are processed ---------------------

    product: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_COMPONENTS,
        description="names of other scores: a jet's tail probabilities in data, one a score, are multiplied; the score is"
        " -log10 of the product",
    )
    max: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_COMPONENTS,
        description="names of other scores: the oddest of them counts; the score is -log10 of the smallest tail probability",
    )
    min: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_COMPONENTS,
        description="names of other scores: all have to be odd; the score is -log10 of the largest tail probability",
    )
    mean: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_COMPONENTS,
        description="names of other scores: the score is -log10 of the mean of their tail probabilities",
    )
    weights: tuple[float, ...] | None = Field(
        default=None,
        description="powers of the tail probabilities in a 'product', one for each name in its order, not below 0: a score of"
        " the weight 0 has no say, and half a weight counts half in the sum of -log10. Not given: all are 1",
    )
    flat_in: FlatBins | None = Field(
        default=None,
        description="bins of mass and pT of the jet: the combination is replaced by its tail probability in data of the same"
        " bin, so that in each bin as many jets pass a cut; with it, one score is enough. Not given: not flat. It costs"
        " sensitivity where a signal stands in few bins",
    )

    @property
    def combined(self) -> tuple[str, tuple[str, ...]] | None:
        """How scores are combined (``product``, ``max``, ``min``, ``mean``), and which; None of a score of its own."""
        return next(((how, names) for how in COMBINATIONS if (names := getattr(self, how)) is not None), None)

    @model_validator(mode="after")
    def _members(self) -> Score:
        if self.combined is None:
            if self.flat_in is not None:
                raise ValueError("'flat_in' is of a combination; for one score write 'product: [NAME]'")
            if self.weights is not None:
                raise ValueError("'weights' belong to a 'product' of other scores")
            return self
        how, names = self.combined
        if len(names) < (1 if self.flat_in is not None else 2):
            least = "one score or more" if self.flat_in is not None else "two scores or more (one with 'flat_in')"
            raise ValueError(f"'{how}' combines {least}; {len(names)} given")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"'{how}' names '{twice[0]}' twice")
        if self.weights is not None:
            self._check_weights(self.weights, how, names)
        return self

    @staticmethod
    def _check_weights(weights: tuple[float, ...], how: str, names: tuple[str, ...]) -> None:
        if how != "product":
            raise ValueError(f"'weights' belong to 'product', and not to '{how}'")
        if len(weights) != len(names):
            raise ValueError(
                f"'weights' has {len(weights)} numbers for the {len(names)} scores of 'product'; give one for each"
            )
        if min(weights) < 0:
            raise ValueError(f"'weights': {min(weights):g} is below 0, so that odd jets would count as usual ones")
        if not any(weights):
            raise ValueError("'weights' are all 0, so that no score has a say")
        if sum(weights) > MOST_COMPONENTS:
            raise ValueError(
                f"'weights' add up to {sum(weights):g}, and at most to {MOST_COMPONENTS}, so that the product stays a number;"
                " only their ratios count"
            )

    # ---- what goes with which source ---------------------------------------------------------------------------

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

    def stated(self) -> dict[str, Any]:
        """Return what decides its values, as JSON: without the label, and without what later versions added and it has not."""
        added = {name for name in ("of", *COMBINATIONS, "weights", "flat_in") if getattr(self, name) is None}
        added |= set() if self.family else {"family"}
        return self.model_dump(mode="json", exclude={"label", *added})


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
