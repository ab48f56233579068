from .cost_estimate import Prediction as Prediction
from .cost_estimate import predict as predict
from .job_plan import make_plan as make_plan
from .processes import SimulatedProcess as SimulatedProcess
from .processes import load_processes as load_processes
from .run import simulate as simulate

__all__ = ["Prediction", "SimulatedProcess", "load_processes", "make_plan", "predict", "simulate"]
