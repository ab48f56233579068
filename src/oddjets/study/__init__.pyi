from .bank import Bank as Bank
from .efficiency_map import EfficiencyMap as EfficiencyMap
from .efficiency_map import read_map as read_map
from .experiments import Experiments as Experiments
from .null import NullPlan as NullPlan
from .null import of_events as of_events
from .null import run as run

__all__ = ["Bank", "EfficiencyMap", "Experiments", "NullPlan", "of_events", "read_map", "run"]
