from . import config as config
from . import core as core
from . import corrections as corrections
from . import inspection as inspection
from . import io as io
from . import learning as learning
from . import report as report
from . import scoring as scoring
from . import selection as selection
from . import simulation as simulation
from . import stats as stats
from . import study as study
from . import training as training
from . import workflow as workflow
from .config.analysis import Analysis as Analysis
from .core.errors import OddjetsError as OddjetsError
from .core.errors import StaleResultsWarning as StaleResultsWarning
from .scoring.model_card import load_card as load_card
from .scoring.scorer import Scorer as Scorer
from .selection.decorators import cut as cut
from .selection.decorators import jet_cut as jet_cut
from .selection.decorators import jet_variation as jet_variation
from .selection.processor import DijetProcessor as DijetProcessor
from .workflow.coffea_processor import processor as processor
from .workflow.interactive.run import Run as Run
from .workflow.loading import load as load

__version__: str

__all__ = [
    "Analysis",
    "DijetProcessor",
    "OddjetsError",
    "Run",
    "Scorer",
    "StaleResultsWarning",
    "config",
    "core",
    "corrections",
    "cut",
    "inspection",
    "io",
    "jet_cut",
    "jet_variation",
    "learning",
    "load",
    "load_card",
    "processor",
    "report",
    "scoring",
    "selection",
    "simulation",
    "stats",
    "study",
    "training",
    "workflow",
]
