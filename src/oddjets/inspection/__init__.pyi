from ..config.window import Window as Window
from .constituent_groups import RemovalPlan as RemovalPlan
from .removal import GroupEffect as GroupEffect
from .removal import JetEffects as JetEffects
from .removal import removal_effects as removal_effects
from .window import RegionEvents as RegionEvents

__all__ = ["GroupEffect", "JetEffects", "RegionEvents", "RemovalPlan", "Window", "removal_effects"]
