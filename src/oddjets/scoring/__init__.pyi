from .model_card import ModelCard as ModelCard
from .model_card import load_card as load_card
from .onnx_session import Provider as Provider
from .onnx_session import runtime_version as runtime_version
from .score import anomaly_score as anomaly_score
from .score import class_probabilities as class_probabilities
from .scorer import Scorer as Scorer

__all__ = ["ModelCard", "Provider", "Scorer", "anomaly_score", "class_probabilities", "load_card", "runtime_version"]
