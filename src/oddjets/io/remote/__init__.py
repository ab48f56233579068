"""Files elsewhere: how they are opened, kept here, and what their failures mean (docs/remote.md)."""

from oddjets.io.remote.access import is_remote, open_file
from oddjets.io.remote.failures import advice_on, cause_of, is_transient, with_retries

__all__ = ["advice_on", "cause_of", "is_remote", "is_transient", "open_file", "with_retries"]
