from .window import RegionEvents as RegionEvents
from .window import Window as Window

__all__ = ["RegionEvents", "Window"]
