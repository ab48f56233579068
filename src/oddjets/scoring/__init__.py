"""Scores of jets from ONNX models with model cards."""

from __future__ import annotations

from oddjets.scoring.onnx_session import Provider, runtime_version
from oddjets.scoring.scorer import Scorer

__all__ = ["Provider", "Scorer", "runtime_version"]
