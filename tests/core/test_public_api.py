"""What `import oddjets` offers: which names, with which signatures, and what it costs."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

from helpers import public_api

import oddjets
from oddjets.workflow.pipeline import STAGES

RENEW = "if that is meant, run `python tests/helpers/public_api.py`, and let the change be seen in the review"


def test_names_and_signatures_are_those_that_were_promised() -> None:
    stored = public_api.STORED.read_text(encoding="utf-8").splitlines()
    changed = list(difflib.unified_diff(stored, public_api.text().splitlines(), "promised", "found", lineterm="", n=0))
    assert not changed, "\n".join([*changed, RENEW])


def test_the_text_notices_a_change_of_a_signature() -> None:
    """An independent look at a few entries, by what Python itself says of them."""
    text = public_api.text()
    assert "\n    up_to(stage: str, *, force: bool=False, progress: bool=True) -> None\n" in text
    assert "\noddjets.load(source: str | Path, changes: Mapping[str, Any] | None=None) -> Analysis\n" in text
    # inherited from a base in another module
    of_model = text.split("\noddjets.stats.Model(HistFactoryModel)\n")[1].split("\noddjets.")[0]
    for method in ("fit", "limit", "significance", "goodness_of_fit", "scan", "impacts"):
        assert f"    {method}(" in of_model, method
        assert callable(getattr(oddjets.stats.Model, method))


def test_every_name_is_listed_and_there() -> None:
    assert {"load", "Run", "Scorer", "load_card", "DijetProcessor", "cut", "jet_variation", "stats"} <= set(
        dir(oddjets)
    )
    for name in dir(oddjets):
        assert getattr(oddjets, name) is not None


def test_every_subpackage_is_behind_the_front_door() -> None:
    folders = {stub.parent.name for stub in Path(oddjets.__file__).parent.glob("*/__init__.pyi")}
    assert folders >= {"study", "stats"}
    assert folders <= set(dir(oddjets))
    assert callable(oddjets.study.of_events)


def test_importing_the_package_loads_nothing_of_what_it_needs_later() -> None:
    heavy = [
        "numpy",
        "awkward",
        "coffea",
        "matplotlib",
        "pyhf",
        "onnxruntime",
        "scipy",
        "pandas",
        "pydantic",
        "hist",
        "uproot",
    ]
    program = f"import sys; import oddjets; dir(oddjets); print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_type_checkers_find_the_types() -> None:
    folder = Path(oddjets.__file__).parent
    assert (folder / "py.typed").is_file()
    assert "from .workflow.interactive.run import Run as Run" in (folder / "__init__.pyi").read_text(encoding="utf-8")


def test_the_front_door_is_in_no_key() -> None:
    from oddjets.core.code_digests import code_parts

    for stage in STAGES.values():
        own = {
            name
            for name in code_parts(*stage.code)
            if "interactive" in name or name in ("oddjets", "oddjets.stats.model")
        }
        assert own == set(), stage.name
