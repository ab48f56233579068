from .cost_estimate import CostPrediction as CostPrediction
from .cost_estimate import predict as predict
from .job_plan import make_plan as make_plan
from .noise import NoisyTower as NoisyTower
from .noise import with_noisy_tower as with_noisy_tower
from .processes import SimulatedProcess as SimulatedProcess
from .processes import load_processes as load_processes
from .run import simulate as simulate

__all__ = [
    "CostPrediction",
    "NoisyTower",
    "SimulatedProcess",
    "load_processes",
    "make_plan",
    "predict",
    "simulate",
    "with_noisy_tower",
]
