"""Scores that are learnt from data: folds by event, weak labels, small boosters, and one score for each fold."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
