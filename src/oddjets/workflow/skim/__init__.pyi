from .compatibility import made_for_others as made_for_others
from .run import skim as skim

__all__ = ["made_for_others", "skim"]
