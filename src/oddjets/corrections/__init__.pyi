from .jet_energy import calibrated_jets as calibrated_jets
from .lookups import Era as Era
from .lookups import load_era as load_era
from .lookups import lookup as lookup
from .official_files import fetch as fetch
from .systematics import Variation as Variation

__all__ = ["Era", "Variation", "calibrated_jets", "fetch", "load_era", "lookup"]
