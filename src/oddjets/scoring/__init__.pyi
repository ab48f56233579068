from .column_card import ColumnCard as ColumnCard
from .column_inputs import input_matrix as input_matrix
from .column_scorer import ColumnScorer as ColumnScorer
from .column_scorer import scorer_of as scorer_of
from .model_card import ModelCard as ModelCard
from .model_card import load_card as load_card
from .onnx_session import Provider as Provider
from .onnx_session import runtime_version as runtime_version
from .score import anomaly_score as anomaly_score
from .score import class_probabilities as class_probabilities
from .scorer import Scorer as Scorer

__all__ = [
    "ColumnCard",
    "ColumnScorer",
    "ModelCard",
    "Provider",
    "Scorer",
    "anomaly_score",
    "class_probabilities",
    "input_matrix",
    "load_card",
    "runtime_version",
    "scorer_of",
]
