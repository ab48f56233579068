from .constituent_groups import RemovalPlan as RemovalPlan
from .prongs import Prongs as Prongs
from .prongs import find_prongs as find_prongs
from .removal import GroupEffect as GroupEffect
from .removal import JetEffects as JetEffects
from .removal import removal_effects as removal_effects
from .source_files import SourceEvent as SourceEvent
from .source_files import read_events as read_events
from .window import RegionEvents as RegionEvents

__all__ = [
    "GroupEffect",
    "JetEffects",
    "Prongs",
    "RegionEvents",
    "RemovalPlan",
    "SourceEvent",
    "find_prongs",
    "read_events",
    "removal_effects",
]
