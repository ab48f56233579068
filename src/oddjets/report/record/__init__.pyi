from .figure_tables import tables_of_figure as tables_of_figure
from .result_tables import tables_of_results as tables_of_results
from .submission import Resource as Resource
from .submission import Submission as Submission
from .submission import write_submission as write_submission
from .tables import RecordTable as RecordTable
from .tables import Variable as Variable

__all__ = [
    "RecordTable",
    "Resource",
    "Submission",
    "Variable",
    "tables_of_figure",
    "tables_of_results",
    "write_submission",
]
