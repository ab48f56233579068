"""Skims: PFNano reduced once to the events and branches that an analysis needs, so that it is read faster again."""

from oddjets.skimming.run import skim

__all__ = ["skim"]
