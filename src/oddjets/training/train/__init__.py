"""A model of one's own: generic jets learned by OmniLearned's PET2, measured, and exported with a card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
