from . import event_table as event_table
from . import nanoaod_schema as nanoaod_schema
from .event_table import EventTable as EventTable
from .fileset import Dataset as Dataset
from .fileset import load_fileset as load_fileset
from .histograms import DATA as DATA
from .histograms import HistogramSet as HistogramSet
from .nanoaod_schema import PFNano as PFNano
from .remote.access import open_file as open_file

__all__ = [
    "DATA",
    "Dataset",
    "EventTable",
    "HistogramSet",
    "PFNano",
    "event_table",
    "load_fileset",
    "nanoaod_schema",
    "open_file",
]
