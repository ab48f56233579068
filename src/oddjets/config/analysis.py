"""An analysis: the whole YAML, its model, reading and validation.

An analysis is one YAML file. `load_analysis` reads it safely, checks it against the models of this package and returns a
frozen `Analysis`; names that point elsewhere (a region's cuts need the processor) are checked by
`oddjets.workflow.validation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from oddjets.config.aspen import AspenFiles, JetBump
from oddjets.config.eras import EraName, EraNames, Luminosities
from oddjets.config.execution import Execution
from oddjets.config.fit import Fit
from oddjets.config.inspect import Inspect
from oddjets.config.regions import Observable, Region, with_own_requirements
from oddjets.config.repair import Checked, check_form
from oddjets.config.score_variations import ScoreVariations
from oddjets.config.selection import Score, ScoreName, Selection, Threshold
from oddjets.config.simulation import SimulationSpec, default_seed
from oddjets.config.systematics import Systematic
from oddjets.config.yaml import ConfigError, Name, StrictModel, merge_mappings, read_extended
from oddjets.config.yaml_lines import with_lines
from oddjets.core import resources
from oddjets.core.errors import InputFileError, nearest_file
from oddjets.core.tables import Table, Tabular

__all__ = [
    "Analysis",
    "AuthorsFiles",
    "Process",
    "check_analysis",
    "files_of",
    "find_analysis",
    "load_analysis",
    "place_of",
]

_ENDINGS = (".yaml", ".yml")


class Process(StrictModel):
    """A physical process, as histograms and figures name it."""

    label: str = Field(description="the name in figures and tables; LaTeX between $ signs")
    color: str = Field(
        default="#999999",
        description="the colour in figures: any Matplotlib colour; not given: one that no other process has",
    )
    template_scale: float = Field(
        default=1.0,
        gt=0,
        description="multiplies the template; a signal strength is then in units of this many times the cross section",
    )
    data_driven: bool = Field(
        default=False,
        description="true: the fit estimates this process from data by ABCD, and its simulation is used for the closure"
        " and the figures only. At most one process; a fit needs one",
    )


class AuthorsFiles(StrictModel):
    """The authors' published event files as input (Zenodo 10.5281/zenodo.19181048): `oddjets import-npz`."""

    folder: str = Field(description="the folder of the files outputs_pretrain_*.npz")
    model: Literal["s", "m", "l"] = Field(
        default="l", description="the size of the model whose files are used: s, m or l"
    )
    processes: dict[str, Name] = Field(
        default={"qcd600": "qcd"},
        description="name of a process in the files: its name here, if it differs; jetht is the data",
    )
    formula: Literal["authors-code", "stored"] = Field(
        default="authors-code",
        description="the score. authors-code: P(10:) / (P(0) + P(10:) + 1e-6), from the stored probabilities; stored: the"
        " files hold a single column, which is the score",
    )


class Closure(StrictModel):
    """The test of A = B C / D on simulation of the data-driven process."""

    bank: str = Field(
        description="a file of `oddjets study bank`, or the name of one in the package: its events of the data-driven process"
        " take the place of the analysis's own in the closure, if era, selection and model are the same"
    )


class Analysis(Tabular, StrictModel):
    """An analysis: the whole content of its YAML."""

    name: Name = Field(description="the name of the analysis; its results are in output/NAME")
    title: str = Field(description="the title of the report")
    question: str = Field(default="", description="the question that the analysis answers: first line of the report")
    notes: tuple[str, ...] = Field(default=(), description="remarks that the report prints")
    era: EraNames = Field(
        description="the data-taking period: the corrections of corrections/ERA.yaml; or a list of eras, fitted together"
    )
    processor: str = Field(
        default="processors/dijet_anomaly.py:DijetAnomaly",
        description="FILE.py:CLASS, a DijetProcessor with the selection and its cuts",
    )
    simulate: SimulationSpec | None = Field(
        default=None, description="simulate the input, instead of reading a fileset"
    )
    fileset: str | None = Field(
        default=None, description="the input files: a JSON or YAML in coffea's layout (datasets/README.md)"
    )
    npz: AuthorsFiles | None = Field(default=None, description="the authors' event files as input, instead of PFNano")
    aspen: AspenFiles | None = Field(
        default=None, description="files of Aspen Open Jets as input, instead of PFNano: single jets of data"
    )
    luminosity: Luminosities | None = Field(
        default=None,
        description="/pb, of all data, by era where there are several; not given: that of the certified sections read (with"
        " 'golden_json'), or the sum of 'luminosity_pb' of the fileset",
    )
    processes: dict[Name, Process] = Field(description="the processes by name")
    hold_out: dict[Name, Process] = Field(
        default={},
        description="signals by name that no setting was chosen on: processes that are simulated or in the fileset, are in no"
        " histogram and no fit, and that `oddjets study injection` injects and reports apart",
    )
    selection: Selection = Field(description="the base selection, which `oddjets process` applies")
    selection_by_era: dict[EraName, dict[str, Any]] = Field(
        default={}, description="keys that are laid over 'selection' for the datasets of one of several eras"
    )
    scores: dict[ScoreName, Score] = Field(description="the scores of each jet by name")
    threshold: Threshold = Field(description="the cut on a score that divides events into A, B, C and D")
    observables: dict[Name, Observable] = Field(description="the quantities to histogram by name")
    regions: dict[Name, Region] = Field(description="the regions by name; each has the letters A, B, C and D")
    jet_corrections: tuple[Literal["jec", "jer"], ...] = Field(
        default=(),
        description="jec: apply the era's jet energy corrections to the raw pT; jer: smear simulated jets to the"
        " resolution of data. Empty: jets as stored",
    )
    jer: Literal["ours", "official"] = Field(
        default="ours",
        description="the random numbers of the smearing. ours: seeded by event and jet; official: from the POG's JERSmear",
    )
    jes: Literal["total", "sources"] = Field(
        default="total",
        description="what 'jes' is: the total uncertainty, or one systematic for each of the era's sources",
    )
    systematics: tuple[Systematic, ...] = Field(
        default=(), description="the systematic uncertainties: names, or names with settings"
    )
    score_variations: ScoreVariations | None = Field(
        default=None,
        description="uncertainties of the jets' constituents, with which simulated jets are scored again; not given: scores are"
        " those of the nominal constituents under all systematics",
    )
    fit: Fit | None = Field(default=None, description="the statistical model and its results; not given: no fit")
    closure: Closure | None = Field(
        default=None, description="more simulation for the closure; not given: that of the analysis itself"
    )
    jet_bump: JetBump | None = Field(
        default=None, description="fits of the mass of the oddest single jets, with 'aspen'; not given: none"
    )
    inspect: Inspect | None = Field(
        default=None,
        description="the events that the report shows one by one, which `oddjets inspect` reads; not given: none",
    )
    execution: Execution = Field(
        default=Execution(), description="where and how the processing runs; changes no result"
    )
    path: Path | None = Field(default=None, exclude=True, description="the file that the analysis was read from")

    @model_validator(mode="before")
    @classmethod
    def _expand_systematics(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("systematics"), (list, tuple)):
            data = dict(data)
            data["systematics"] = [{"name": s} if isinstance(s, str) else s for s in data["systematics"]]
        return data

    @model_validator(mode="before")
    @classmethod
    def _own_seed(cls, data: Any) -> Any:
        return _with_seed(data, {}) if isinstance(data, dict) else data

    @property
    def data_driven(self) -> str | None:
        """The process that ABCD estimates, if there is one."""
        return next((name for name, process in self.processes.items() if process.data_driven), None)

    @property
    def abcd_bins(self) -> tuple[str, tuple[str, ...]]:
        """The observable in whose bins A = B C / D is tested, and where: the fit's; else the first observable, all regions."""
        if self.fit is not None:
            return self.fit.observable, self.fit.regions
        regions = tuple(name for name, region in self.regions.items() if region.part_of is None)
        return next(iter(self.observables), ""), regions

    def score_label(self, name: str, *, in_text: bool = False) -> str:
        """Return what a score is called in figures and tables: its label, or its name if it has none or shares it.

        Args:
            name: of the score; one that there is not is called by its name.
            in_text: whether words stand around it, so that a mere name is called a score.
        """
        if name not in self.scores:
            return name
        labels = [score.label for score in self.scores.values()]
        label = self.scores[name].label or ("anomaly score" if len(labels) == 1 else name)
        label = name if labels.count(label) > 1 else label
        return f"score {name}" if in_text and label == name else label

    @property
    def reads_root(self) -> bool:
        """Whether the input are ROOT files, and no imported ones."""
        return self.npz is None and self.aspen is None

    @property
    def blind(self) -> bool:
        """Whether the data in A are blinded."""
        return self.fit is not None and self.fit.blind

    # pydantic's own would print every field
    __str__ = Tabular.__repr__

    @property
    def _headline(self) -> str:
        return f"{self.name}: {self.title}"

    def _tables(self) -> list[Table]:
        """Return one table: what the analysis reads, selects, fills and fits, by name."""
        made = "simulated" if self.simulate is not None else "the authors' event files" if self.npz is not None else ""
        made = "Aspen Open Jets" if self.aspen is not None else made
        cut, systematics = self.threshold, [systematic.name for systematic in self.systematics]
        passing = f">= {cut.value:g}" if cut.value is not None else f"passed by {cut.efficiency:g} of the data"
        blinded = " (the data in A are hidden)" if self.blind else ""
        rows = [
            ("file", self.path or ""),
            ("era", self.era if isinstance(self.era, str) else ", ".join(self.era)),
            ("input", self.fileset or made),
            ("processor", self.processor),
            ("processes", ", ".join(self.processes)),
            ("scores", ", ".join(self.scores)),
            ("threshold", f"{cut.score} {passing}"),
            ("regions", ", ".join(self.regions)),
            ("observables", ", ".join(self.observables)),
            ("systematics", f"{len(systematics)}: {', '.join(systematics)}" if systematics else "none"),
            ("fit", "none" if self.fit is None else f"of {', '.join(self.fit.regions)}{blinded}"),
        ]
        return [(("", ""), rows)]

    def unblinded(self) -> Analysis:
        """Return the same analysis without blinding."""
        return (
            self if self.fit is None else self.model_copy(update={"fit": self.fit.model_copy(update={"blind": False})})
        )

    @property
    def named_cuts(self) -> frozenset[str]:
        """The cuts that the base selection or a region names."""
        of_regions = (name for region in self.regions.values() for name in region.names)
        return frozenset({*self.selection.cuts, *of_regions} - self.regions.keys())

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the YAML refer to."""
        return self.path.parent if self.path is not None else Path.cwd()

    @property
    def closure_bank(self) -> Path | None:
        """The bank of the closure; None where none is asked for.

        Raises:
            InputFileError: there is none of this name, neither beside the YAML nor in the package.
        """
        if self.closure is None:
            return None
        try:
            return resources.find(self.closure.bank, "datasets", beside=self.folder)
        except InputFileError as error:
            raise InputFileError(f"{self.path or self.name}: closure.bank: {error}") from None

    def binning(self, observable: str, region: str) -> list[float]:
        """Return the bin edges of an observable in a region, in the observable's unit."""
        base = self.observables[observable]
        over = self.regions[region].binning.get(observable)
        edges = over.edges if over else None
        if edges is None and base.edges is not None and (over is None or (over.bins is None and over.range is None)):
            edges = base.edges
        if edges is not None:
            return list(edges)
        bins = (over.bins if over else None) or base.bins
        span = (over.range if over else None) or base.range
        assert bins is not None
        assert span is not None
        low, high = span
        return [low + (high - low) * i / bins for i in range(bins)] + [high]


def _completed(own: dict[Any, Any], base: dict[Any, Any]) -> dict[Any, Any]:
    return _with_seed(with_own_requirements(own, base), base)


def _with_seed(own: dict[Any, Any], base: dict[Any, Any]) -> dict[Any, Any]:
    """Give the simulation of an analysis a seed of the analysis's name, unless it states one.

    One that extends another and asks nothing of the simulation shares the other's sample; one without a name of its own is
    the same analysis.
    """
    asked, name = own.get("simulate"), own.get("name")
    if not isinstance(asked, dict) or asked.get("seed") is not None or name in (None, base.get("name")):
        return own
    return {**own, "simulate": {**asked, "seed": default_seed(str(name))}}


def find_analysis(source: str | Path, folders: Iterable[str] | None = None) -> Path:
    """Return the file of an analysis.

    Args:
        source: its YAML; one that the package carries may be named without its folder, and without its ending.
        folders: the output folders beside it, if one could be meant; None: where only an analysis can.

    Raises:
        InputFileError: there is none of this name, neither here nor in the package; the message has the nearest names.
    """
    file = Path(source)
    if file.exists():
        return file
    with suppress(InputFileError):
        return resources.find(str(file), "processors", suffixes=("", ".yaml"))
    what, looked = ("analysis", "file") if folders is None else ("analysis or output folder", "file or folder")
    shipped = [name for name in resources.available("processors") if name.endswith(_ENDINGS)]
    if file.suffix not in _ENDINGS:
        shipped = [Path(name).stem for name in shipped]
    beside = [str(path) for ending in _ENDINGS for path in file.parent.glob(f"*{ending}")]
    near = nearest_file(file.name, [*shipped, *beside, *(folders or ())], or_all=False)
    near = near or f"the package has {', '.join(shipped)}"
    raise InputFileError(
        f"no {what} '{file}': there is no such {looked}, and no analysis of this name in the package; {near}"
    )


def place_of(path: Path, changes: Mapping[str, Any] | None) -> str:
    """Return what the head of a message about errors says: the file, and whether something was laid over it."""
    return f"{path}, with the changes" if changes else str(path)


def load_analysis(path: str | Path, changes: Mapping[str, Any] | None = None) -> Analysis:
    """Read an analysis YAML; ``extends: FILE`` in it starts from another one, beside it or shipped.

    Args:
        path: the file.
        changes: keys that are laid over the file's, as those of a file that extends it would be.

    Returns:
        The analysis, frozen; its `path` is set.

    Raises:
        ConfigError: with every error of form at once, each with its place, its line and the nearest valid name.
    """
    checked = check_analysis(path, changes)
    if checked.lines:
        # what is laid over a file has no line
        lines = checked.lines if changes else with_lines(checked.lines, files_of(Path(path)))
        raise ConfigError.of_problems(place_of(Path(path), changes), lines)
    assert checked.model is not None
    return checked.model


def check_analysis(path: str | Path, changes: Mapping[str, Any] | None = None) -> Checked[Analysis]:
    """Read an analysis YAML as `load_analysis` does; return it without what is wrong in it, and all errors of form.

    Raises:
        ConfigError: the file cannot be read, or is no mapping.
    """
    path = Path(path)
    data = read_extended(path, complete=_completed)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: an analysis is a mapping with keys such as name, processor, regions")
    if "of" in data and {"choices", "grid"} & set(data):
        raise ConfigError(f"{path}: is a list of choices and no analysis; run `oddjets study choices {path.name}`")
    if changes:
        data = merge_mappings(data, _completed(dict(changes), data))
    checked = check_form(data, Analysis)
    if checked.model is None:
        return checked
    return replace(checked, model=checked.model.model_copy(update={"path": path}))


def files_of(path: Path) -> list[Path]:
    """Return an analysis's file and those that it extends, in order."""
    files: list[Path] = []
    read_extended(path, opened=lambda own, file: files.append(file))
    return files
