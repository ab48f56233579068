from .abcd_closure import closure as closure
from .cabinetry_adapter import CabinetryAdapter as CabinetryAdapter
from .combine import write_card as write_card
from .histfactory.results import FitResult as FitResult
from .histfactory.workspace_sources import load_workspace as load_workspace
from .inference.estimates import best_fits as best_fits
from .inference.estimates import impacts as impacts
from .inference.estimates import significance as significance
from .inference.estimates import two_sided_error as two_sided_error
from .inference.limits import upper_limit as upper_limit
from .inference.scans import scan as scan
from .inference.toys import goodness_of_fit as goodness_of_fit
from .model import Model as Model
from .pyhf_optimizer import PyhfOptimizer as PyhfOptimizer
from .summary import fit_workspace as fit_workspace
from .workspace import build as build

__all__ = [
    "CabinetryAdapter",
    "FitResult",
    "Model",
    "PyhfOptimizer",
    "best_fits",
    "build",
    "closure",
    "fit_workspace",
    "goodness_of_fit",
    "impacts",
    "load_workspace",
    "scan",
    "significance",
    "two_sided_error",
    "upper_limit",
    "write_card",
]
