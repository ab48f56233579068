from .overrides import with_execution as with_execution
from .overrides import with_simulation as with_simulation
from .pipeline import run_stages as run_stages
from .run import Run as Run
from .validation import Resolved as Resolved
from .validation import resolve as resolve

__all__ = ["Resolved", "Run", "resolve", "run_stages", "with_execution", "with_simulation"]
