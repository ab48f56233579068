from .jet_dataset import JetSet as JetSet
from .jet_dataset import read_jets as read_jets
from .job import JobPart as JobPart
from .job import TrainingJob as TrainingJob
from .job import run as run
from .loop import train as train
from .settings import TrainingSettings as TrainingSettings

__all__ = ["JetSet", "JobPart", "TrainingJob", "TrainingSettings", "read_jets", "run", "train"]
