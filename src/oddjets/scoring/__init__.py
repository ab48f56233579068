"""Scores of jets from ONNX models with model cards."""

from __future__ import annotations

from oddjets.scoring.scorer import Scorer
from oddjets.scoring.sessions import Provider, runtime_version

__all__ = ["Provider", "Scorer", "runtime_version"]
