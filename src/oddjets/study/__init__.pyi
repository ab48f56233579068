from .bank import Bank as Bank
from .experiments import Experiments as Experiments
from .null import NullPlan as NullPlan
from .null import of_events as of_events
from .null import run as run

__all__ = ["Bank", "Experiments", "NullPlan", "of_events", "run"]
