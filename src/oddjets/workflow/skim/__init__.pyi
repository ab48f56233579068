from .compatibility import incompatible_skims as incompatible_skims
from .run import skim as skim

__all__ = ["incompatible_skims", "skim"]
