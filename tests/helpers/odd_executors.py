"""Executor classes that do not do as coffea's do; found by their import path."""


class Forgetful:
    """Leaves out the last item."""

    def __call__(self, items, function, accumulator):
        for item in items[:-1]:
            accumulator |= function(item)
        return accumulator


class Failing:
    """Has nobody to do the work."""

    def __init__(self, message="no workers"):
        self.message = message

    def __call__(self, items, function, accumulator):
        raise RuntimeError(self.message)
