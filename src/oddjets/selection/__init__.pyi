from . import objects as objects
from .decorators import JetColumns as JetColumns
from .decorators import cut as cut
from .decorators import jet_cut as jet_cut
from .decorators import jet_variation as jet_variation
from .processor import DijetProcessor as DijetProcessor
from .processor_loader import find_processor as find_processor
from .regions import find_threshold as find_threshold
from .regions import region_mask as region_mask

__all__ = [
    "DijetProcessor",
    "JetColumns",
    "cut",
    "find_processor",
    "find_threshold",
    "jet_cut",
    "jet_variation",
    "objects",
    "region_mask",
]
