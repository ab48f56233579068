from .evaluation import measure as measure
from .metrics import auc as auc
from .metrics import rejection as rejection
from .metrics import sculpting as sculpting
from .parity import Parity as Parity
from .parity import compare as compare
from .parity import groups as groups
from .reference import PaddedJets as PaddedJets
from .reference import Reference as Reference

__all__ = ["PaddedJets", "Parity", "Reference", "auc", "compare", "groups", "measure", "rejection", "sculpting"]
