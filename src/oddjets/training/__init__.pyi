from .class_labels import CLASSES as CLASSES
from .class_labels import QCD as QCD
from .class_labels import SIGNAL as SIGNAL
from .export.checkpoint import read_checkpoint as read_checkpoint
from .export.classifiers import export_classifier as export_classifier
from .train.job import JobPart as JobPart
from .train.job import TrainingJob as TrainingJob
from .train.settings import TrainingSettings as TrainingSettings
from .validate.reference import Reference as Reference

__all__ = [
    "CLASSES",
    "QCD",
    "SIGNAL",
    "JobPart",
    "Reference",
    "TrainingJob",
    "TrainingSettings",
    "export_classifier",
    "read_checkpoint",
]
