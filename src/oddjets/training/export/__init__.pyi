from .checkpoint import Checkpoint as Checkpoint
from .checkpoint import read_checkpoint as read_checkpoint
from .classifiers import ExportedClassifier as ExportedClassifier
from .classifiers import export_classifier as export_classifier
from .onnx import ExportResult as ExportResult
from .onnx import export as export
from .random_jets import load_jets as load_jets

__all__ = [
    "Checkpoint",
    "ExportResult",
    "ExportedClassifier",
    "export",
    "export_classifier",
    "load_jets",
    "read_checkpoint",
]
