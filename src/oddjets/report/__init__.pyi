from .figure_files import make as make
from .registry import KINDS as KINDS
from .registry import Kind as Kind
from .registry import draw as draw

__all__ = ["KINDS", "Kind", "draw", "make"]
