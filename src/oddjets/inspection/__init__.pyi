from .prongs import Prongs as Prongs
from .prongs import find_prongs as find_prongs
from .source_files import SourceEvent as SourceEvent
from .source_files import read_events as read_events
from .window import RegionEvents as RegionEvents

__all__ = ["Prongs", "RegionEvents", "SourceEvent", "find_prongs", "read_events"]
