from .errors import InputFileError as InputFileError
from .errors import OddjetsError as OddjetsError
from .resources import find as find
from .substructure import cluster_jets as cluster_jets
from .substructure import n_subjettiness as n_subjettiness
from .substructure import soft_drop as soft_drop

__all__ = ["InputFileError", "OddjetsError", "cluster_jets", "find", "n_subjettiness", "soft_drop"]
