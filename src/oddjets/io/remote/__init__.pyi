from .access import is_remote as is_remote
from .access import open_file as open_file
from .failures import advice_on as advice_on
from .failures import cause_of as cause_of
from .failures import is_transient as is_transient
from .failures import with_retries as with_retries

__all__ = ["advice_on", "cause_of", "is_remote", "is_transient", "open_file", "with_retries"]
