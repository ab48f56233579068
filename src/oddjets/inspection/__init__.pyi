from .constituent_groups import RemovalPlan as RemovalPlan
from .removal import GroupEffect as GroupEffect
from .removal import JetEffects as JetEffects
from .removal import removal_effects as removal_effects

__all__ = ["GroupEffect", "JetEffects", "RemovalPlan", "removal_effects"]
