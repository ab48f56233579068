from .hessian import SingularModelError as SingularModelError
from .model import HistFactoryModel as HistFactoryModel
from .results import Data as Data
from .results import FitError as FitError
from .results import FitResult as FitResult
from .workspace_checks import WorkspaceError as WorkspaceError
from .workspace_sources import load_workspace as load_workspace

__all__ = [
    "Data",
    "FitError",
    "FitResult",
    "HistFactoryModel",
    "SingularModelError",
    "WorkspaceError",
    "load_workspace",
]
