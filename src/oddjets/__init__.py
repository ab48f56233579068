"""oddjets: search LHC data for jets that a foundation model finds odd."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
