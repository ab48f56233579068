"""Content keys: what changes them, and what does not."""

from __future__ import annotations

import ast
import shutil
import textwrap
from pathlib import Path

import pytest

import oddjets
from oddjets.core import provenance
from oddjets.core.code_digests import code_parts, code_sha256, syntax_sha256
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.pipeline import STAGES

PACKAGE = Path(oddjets.__file__).parent

#: whose code decides what: room to modules, and folder/ to data files. A module that is new here makes every user's results
#: of that stage be computed again when it changes: add it if it computes them, else mend the import that brings it
CODE: dict[str, dict[str, str]] = {
    "chunk": {
        "core": "expressions kernels kinematics substructure",
        "corrections": (
            "generator_weights jet_energy jet_identification jet_resolution lookups luminosity sections "
            "systematics weights"
        ),
        "io": "branches combined_scores event_table fileset layouts nanoaod_schema sums_of_weights weight_order",
        "learning": "folds",
        "scoring": (
            "cache card_base class_groups column_card column_inputs column_scorer gpu inputs model_card onnx_session "
            "score scorer"
        ),
        "selection": (
            "certification chunk_counts column_scores constituent_variations constituents decorators jet_scores "
            "jet_systematics needed_columns objects per_era processor processor_loader reclustering "
            "score_variations"
        ),
        "workflow.executors": "chunk_worker",
    },
    "simulate": {
        "core": "kernels kinematics substructure",
        "simulation": (
            "detector flavour gen_particles generator jets job_plan leptons nanoaod_layout parton_veto pileup "
            "pileup_profile prefiring processes puppi pythia_hooks reconstruction rho run scales tagger_inputs "
            "taggers trigger vertices writer"
        ),
        "workflow.stages": "simulate",
        "simulation/": "processes.yaml taggers.json",
    },
    "process": {
        "core": "expressions kernels kinematics substructure",
        "corrections": (
            "generator_weights jet_energy jet_identification jet_resolution lookups luminosity sections "
            "systematics weights working_point"
        ),
        "io": (
            "aspen aspen_events branches combined_scores event_table fileset histograms layouts nanoaod_schema paper_npz "
            "sums_of_weights weight_order"
        ),
        "learning": "folds",
        "scoring": (
            "cache card_base class_groups column_card column_inputs column_scorer gpu inputs model_card onnx_session "
            "score scorer tail_probabilities"
        ),
        "selection": (
            "aspen_jets certification chunk_counts column_scores constituent_variations constituents decorators "
            "file_layouts input_anomalies jet_scores jet_systematics needed_columns normalisation objects per_era "
            "processor processor_loader reclustering score_checks score_variations sums_checks trigger_menus"
        ),
        "workflow.executors": "chunk_worker",
        "workflow.stages": "aspen combined_scores cutflow npz process",
    },
    "histogram": {
        "core": "expressions kernels kinematics substructure",
        "corrections": (
            "correlations generator_weights jet_energy jet_identification jet_resolution lookups luminosity "
            "sections systematics weights"
        ),
        "io": (
            "branches combined_scores event_table fileset histograms layouts nanoaod_schema sums_of_weights weight_order "
            "yields"
        ),
        "learning": "folds",
        "scoring": (
            "cache card_base class_groups column_card column_inputs column_scorer gpu inputs model_card onnx_session "
            "score scorer"
        ),
        "selection": (
            "binned_events certification chunk_counts column_scores constituent_variations constituents decorators "
            "event_weights histogramming jet_scores jet_systematics needed_columns normalisation objects per_era "
            "processor reclustering regions score_variations tracked_events"
        ),
        "workflow.stages": "cutflow histogram",
    },
    "closure": {
        "core": "expressions kernels kinematics rounding substructure",
        "corrections": (
            "correlations generator_weights jet_energy jet_identification jet_resolution lookups luminosity "
            "sections systematics weights"
        ),
        "io": (
            "branches combined_scores event_table fileset histograms layouts nanoaod_schema sums_of_weights weight_order "
            "yields"
        ),
        "learning": "folds",
        "scoring": (
            "cache card_base class_groups column_card column_inputs column_scorer gpu inputs model_card onnx_session "
            "score scorer"
        ),
        "selection": (
            "binned_events certification chunk_counts closure_bank closure_events closure_measurement "
            "column_scores constituent_variations constituents decorators event_weights histogramming jet_scores "
            "jet_systematics mixing needed_columns normalisation objects per_era processor reclustering "
            "region_products regions score_variations tracked_events"
        ),
        "stats": "abcd_closure cell_bins closure_flavours closure_parts closure_uncertainty",
        "workflow.stages": "closure",
    },
    "workspace": {
        "core": "blinding_history rounding",
        "io": "histograms yields",
        "stats": (
            "abcd_cells absorption cell_bins closure_bins closure_parts closure_uncertainty qcd_templates templates "
            "workspace"
        ),
        "workflow.stages": "workspace",
    },
    "fit": {
        "core": "blinding_history rounding",
        "io": "histograms",
        "stats": (
            "cell_bins closure_parts closure_significance closure_state closure_uncertainty few_events fitted_yields "
            "shown_numbers strengths summary summary_lines"
        ),
        "stats.histfactory": (
            "arrow barlow_beeston expected gamma_refits hessian likelihood minima model newton posdef "
            "pyhf_config results starts tensors workspace_checks workspace_reader workspace_sources"
        ),
        "stats.inference": "estimates expectation limits postfit profile scans searches toy_limits toys",
        "workflow.stages": "fit",
    },
    "plot": {
        "core": "blinding_history kernels kinematics rounding",
        "io": "combined_scores event_table histograms rescoring",
        "report": (
            "artifacts colors combination_health figure_files finished_studies health_line intervals jet_studies "
            "layout learnt_scores modelled panels registry score_comparison style tables text"
        ),
        "report.figures": (
            "acceptance agreement bump choices class_shares closure closure_scan correlation cutflow display "
            "distribution efficiency efficiency_map gof grid injection jet_bump jet_null jet_periods kde "
            "learning likelihood_scan limit mixing neighbours nsubjettiness null observable postfit processes pulls "
            "regions removal residual score score_overlap score_shapes sculpting sic signal_limit "
            "signal_score signal_templates systematics threshold_scan two_sample yields"
        ),
        "selection": "oddest_jets",
        "simulation": "processes resonances",
        "stats": "cell_bins closure_parts dijet_function score_comparison score_tables shown_numbers",
        "workflow.stages": "plot",
        "simulation/": "processes.yaml",
    },
    "report": {
        "core": "blinding_history kernels kinematics redaction rounding",
        "io": "combined_scores event_table histograms publications rescoring yields",
        "report": (
            "artifacts colors combination_health eras figure_files finished_studies headline health health_line html "
            "input_health inspections intervals jet_inspection jet_studies layout learnt_scores modelled neighbours "
            "panels registry "
            "score_comparison score_tables score_variations scrutiny_tables studies style tables text trainings "
            "two_sample verdict"
        ),
        "report.figures": (
            "acceptance agreement bump choices class_shares closure closure_scan correlation cutflow display "
            "distribution efficiency efficiency_map gof grid injection jet_bump jet_null jet_periods kde "
            "learning likelihood_scan limit mixing neighbours nsubjettiness null observable postfit processes pulls "
            "regions removal residual score score_overlap score_shapes sculpting sic signal_limit "
            "signal_score signal_templates systematics threshold_scan two_sample yields"
        ),
        "selection": "event_weights input_anomalies oddest_jets",
        "simulation": "processes resonances",
        "stats": (
            "cell_bins closure_parts closure_state dijet_function score_comparison score_tables shown_numbers templates"
        ),
        "workflow.stages": "report",
        "report/templates/": "macros.html.j2 report.css report.html.j2 report.js theme.js",
        "simulation/": "processes.yaml",
    },
}
ENTRIES = {"chunk": (chunk_worker.__name__,), **{stage.name: stage.code for stage in STAGES.values()}}


def parts_of(entry: dict[str, str]) -> set[str]:
    """The modules and data files that an entry of the table stands for."""
    return {
        f"oddjets/{place}{name}" if place.endswith("/") else f"oddjets.{place}.{name}"
        for place, names in entry.items()
        for name in names.split()
    }


def entry_of(parts: set[str]) -> dict[str, str]:
    """The entry of the table that stands for modules and data files."""
    places: dict[str, list[str]] = {}
    # modules before data files
    for part in sorted(parts, key=lambda part: ("/" in part, part)):
        place, mark, name = part.removeprefix("oddjets").rpartition("/" if "/" in part else ".")
        places.setdefault(place[1:] + mark.strip("."), []).append(name)
    return {place: " ".join(names) for place, names in places.items()}


def lines_of(name: str, entry: dict[str, str]) -> str:
    """An entry as it is written in the table."""
    lines = [f'    "{name}": {{']
    for place, names in entry.items():
        texts = textwrap.wrap(names, 110 - len(place))
        if len(texts) == 1:
            lines.append(f'        "{place}": "{texts[0]}",')
        else:
            pieces = [f'            "{text} "' for text in texts[:-1]] + [f'            "{texts[-1]}"']
            lines += [f'        "{place}": (', *pieces, "        ),"]
    return "\n".join([*lines, "    },"])


@pytest.mark.parametrize("name", ENTRIES)
def test_a_key_has_the_code_that_computes_and_no_other(name: str) -> None:
    found, said = set(code_parts(*ENTRIES[name])), parts_of(CODE[name])
    assert found == said, (
        f"the key of {name}: new {sorted(found - said)}, gone {sorted(said - found)}.\n"
        f"If that is meant, its entry in CODE becomes:\n{lines_of(name, entry_of(found))}"
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_the_entry_that_a_failure_prints_is_the_one_to_be_pasted(name: str) -> None:
    parts = set(code_parts(*ENTRIES[name]))
    assert ast.literal_eval("{" + lines_of(name, entry_of(parts)) + "}") == {name: entry_of(parts)}
    assert parts_of(entry_of(parts)) == parts


def test_neither_fits_nor_figures_nor_simulated_taggers_decide_rows_of_real_data() -> None:
    rows = set(code_parts(*ENTRIES["chunk"])) | set(code_parts(*ENTRIES["process"]))
    rooms = {name.split(".")[1] for name in rows if "." in name and "/" not in name}
    assert rooms == {"core", "corrections", "io", "learning", "scoring", "selection", "workflow"}
    assert not [name for name in rows if "/" in name]


def test_every_data_file_of_the_package_is_some_modules() -> None:
    modules = [
        ".".join(("oddjets", *file.relative_to(PACKAGE).with_suffix("").parts))
        for file in PACKAGE.rglob("*.py")
        if file.name != "__init__.py"
    ]
    named = {name for module in modules for name in code_parts(module) if "/" in name}
    data = {
        str(file.relative_to(PACKAGE.parent))
        for file in PACKAGE.rglob("*")
        if file.is_file()
        and file.suffix not in (".py", ".pyi", ".typed")
        and not {"resources", "__pycache__"} & set(file.parts)
    }
    assert named == data


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's files, to be changed."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "oddjets", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_same_code_elsewhere_has_the_same_key(copy: Path) -> None:
    assert code_sha256("oddjets.selection.histogramming", root=copy) == code_sha256("oddjets.selection.histogramming")


@pytest.mark.parametrize(
    ("stage", "changed", "counts"),
    [
        ("histogram", "selection/histogramming.py", True),
        ("histogram", "io/histograms.py", True),  # imported by it
        ("histogram", "report/html.py", False),
        ("plot", "report/figures/pulls.py", True),
        ("report", "report/html.py", True),
        ("report", "report/templates/report.css", True),
        ("simulate", "simulation/processes.yaml", True),
        ("simulate", "simulation/taggers.json", True),
        ("simulate", "stats/histfactory/newton.py", False),
        ("process", "workflow/stages/process.py", True),
        ("process", "selection/processor.py", True),
        ("process", "config/fit.py", False),
        ("process", "simulation/taggers.py", False),
        ("process", "report/style.py", False),
        ("simulate", "simulation/detector.py", True),
        ("simulate", "selection/histogramming.py", False),
        ("fit", "stats/histfactory/newton.py", True),
        ("fit", "selection/processor.py", False),
    ],
)
def test_a_key_changes_with_a_statement_that_decides_the_result(
    stage: str, changed: str, counts: bool, copy: Path
) -> None:
    before = code_sha256(*ENTRIES[stage], root=copy)
    file = copy / changed
    added = "\nADDED = 1\n" if file.suffix == ".py" else "\n"
    file.write_text(file.read_text(encoding="utf-8") + added, encoding="utf-8")
    assert (code_sha256(*ENTRIES[stage], root=copy) != before) is counts


BEFORE = '''
"""Says what the module is."""
from __future__ import annotations
import math
# a comment
def area(r: float) -> float:
    """Return the area."""
    return math.pi * r**2
'''
AFTER = '''
"""Says it better."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def area(r: float) -> float:  # of a circle
    """Return the area of a circle."""
    return math.pi * r**2
'''


def test_comments_docstrings_and_layout_change_no_key() -> None:
    # the import of TYPE_CHECKING itself counts
    plain = BEFORE.replace("import math\n", "import math\nfrom typing import TYPE_CHECKING\n")
    assert syntax_sha256(AFTER) == syntax_sha256(plain)
    assert syntax_sha256(AFTER.replace("r**2", "r**3")) != syntax_sha256(AFTER)
    assert syntax_sha256(AFTER.replace('"""Return the area of a circle."""', "r += 0")) != syntax_sha256(AFTER)


def test_a_name_that_is_imported_through_a_package_is_refused(copy: Path) -> None:
    (copy / "selection" / "more.py").write_text("from oddjets.stats import fit_workspace\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"imports 'fit_workspace' through oddjets.stats: import it from the module"):
        code_parts("oddjets.selection.more", root=copy)
    with pytest.raises(ValueError, match=r"no module oddjets.selection.most"):
        code_parts("oddjets.selection.most", root=copy)


def test_a_key_does_not_depend_on_the_order_of_names() -> None:
    assert provenance.content_key({"a": 1, "b": [1, 2]}) == provenance.content_key({"b": [1, 2], "a": 1})
    assert provenance.content_key([1, 2]) != provenance.content_key([2, 1])
