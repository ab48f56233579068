from .overrides import with_execution as with_execution
from .overrides import with_simulation as with_simulation
from .pipeline import run_stages as run_stages
from .pipeline import stage_of as stage_of
from .pipeline import stages_of as stages_of
from .pipeline import stages_up_to as stages_up_to
from .run import RunContext as RunContext
from .validation import ResolvedAnalysis as ResolvedAnalysis
from .validation import resolve as resolve

__all__ = [
    "ResolvedAnalysis",
    "RunContext",
    "resolve",
    "run_stages",
    "stage_of",
    "stages_of",
    "stages_up_to",
    "with_execution",
    "with_simulation",
]
