from .figure_files import make as make
from .registry import KINDS as KINDS
from .registry import FigureKind as FigureKind
from .registry import draw as draw

__all__ = ["KINDS", "FigureKind", "draw", "make"]
