"""Skims: PFNano reduced once to the events and branches that an analysis needs, so that it is read faster again."""

from oddjets.workflow.skim.compatibility import made_for_others
from oddjets.workflow.skim.run import skim

__all__ = ["made_for_others", "skim"]
