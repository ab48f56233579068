from .options import RescoreOptions as RescoreOptions
from .run import rescore as rescore

__all__ = ["RescoreOptions", "rescore"]
