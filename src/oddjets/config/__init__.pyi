from .analysis import Analysis as Analysis
from .analysis import load_analysis as load_analysis
from .execution import Execution as Execution
from .simulation import SimulationSpec as SimulationSpec
from .yaml import ConfigError as ConfigError

__all__ = ["Analysis", "ConfigError", "Execution", "SimulationSpec", "load_analysis"]
