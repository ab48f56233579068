from .processes import HELD_OUT as HELD_OUT
from .processes import TRAINING as TRAINING
from .processes import Recipe as Recipe
from .reconstruction import TrainingJets as TrainingJets
from .reconstruction import reconstruct_jets as reconstruct_jets

__all__ = ["HELD_OUT", "TRAINING", "Recipe", "TrainingJets", "reconstruct_jets"]
