from .estimates import Fits as Fits
from .estimates import Impact as Impact
from .estimates import Significance as Significance
from .estimates import best_fits as best_fits
from .estimates import impacts as impacts
from .estimates import significance as significance
from .expectation import control_events as control_events
from .expectation import deciding_events as deciding_events
from .expectation import expected_significance as expected_significance
from .limits import Limit as Limit
from .limits import upper_limit as upper_limit
from .postfit import SampleModel as SampleModel
from .scans import Scan as Scan
from .scans import scan as scan
from .toy_limits import toy_cls as toy_cls
from .toy_limits import toy_limit as toy_limit
from .toys import GoodnessOfFitTest as GoodnessOfFitTest
from .toys import goodness_of_fit as goodness_of_fit
from .toys import toy_significance as toy_significance

__all__ = [
    "Fits",
    "GoodnessOfFitTest",
    "Impact",
    "Limit",
    "SampleModel",
    "Scan",
    "Significance",
    "best_fits",
    "control_events",
    "deciding_events",
    "expected_significance",
    "goodness_of_fit",
    "impacts",
    "scan",
    "significance",
    "toy_cls",
    "toy_limit",
    "toy_significance",
    "upper_limit",
]
