from .claims import compare as compare
from .page import write as write

__all__ = ["compare", "write"]
