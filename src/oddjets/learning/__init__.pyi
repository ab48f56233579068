from .autoencoder import AutoencoderTrainer as AutoencoderTrainer
from .boosted import BoostedTrainer as BoostedTrainer
from .cdf import ScoreCdf as ScoreCdf
from .folded import FoldedScore as FoldedScore
from .folds import event_hash as event_hash
from .folds import fold_of as fold_of
from .labels import mass_window as mass_window
from .labels import tag_n_train as tag_n_train
from .mixture import MixtureTrainer as MixtureTrainer
from .model import FoldModel as FoldModel
from .model import Trainer as Trainer

__all__ = [
    "AutoencoderTrainer",
    "BoostedTrainer",
    "FoldModel",
    "FoldedScore",
    "MixtureTrainer",
    "ScoreCdf",
    "Trainer",
    "event_hash",
    "fold_of",
    "mass_window",
    "tag_n_train",
]
