"""Emulations of CMS's b tag and X(bb) taggers: small networks on simulated tracks and substructure.

Their weights (``taggers.json``) are made by ``python -m oddjets.simulation.train_taggers`` on seeds that no simulation
uses. They carry the names of the CMS branches that an analysis reads, not the CMS algorithms.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

__all__ = ["BTAG_WORKING_POINTS", "X_CLASSES", "Network", "Taggers", "load_taggers", "tag"]

#: the values of CMS's DeepCSV working points loose, medium and tight in 2016 UL post-VFP (POG file btagging.json.gz)
BTAG_WORKING_POINTS = (0.1918, 0.5847, 0.8767)
X_CLASSES = ("QCD", "Xbb", "Xcc", "Xqq")


class Network(BaseModel):
    """A multilayer perceptron with ReLU between layers and softmax at the end."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[str, ...]
    #: layer -> (inputs, outputs)
    weights: list[list[list[float]]]
    biases: list[list[float]]

    def logits(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (jets, classes) before softmax of standardised inputs (jets, inputs)."""
        last = len(self.weights) - 1
        for k, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ np.array(weights) + np.array(biases)
            x = x if k == last else np.maximum(x, 0)
        return x


class Taggers(BaseModel):
    """Both networks and what their outputs mean."""

    model_config = ConfigDict(frozen=True)

    #: how and on what they were trained, and what they were measured to do
    description: dict[str, str]
    inputs: tuple[str, ...]
    mean: list[float]
    width: list[float]
    btag: Network
    x: Network
    #: difference of the b tag's logits at 10 %, 1 % and 0.1 % of light jets, which become CMS's working points
    btag_thresholds: tuple[float, float, float]


@cache
def load_taggers() -> Taggers:
    """Return the shipped taggers."""
    text = resources.files("oddjets.simulation").joinpath("taggers.json").read_text(encoding="utf-8")
    return Taggers.model_validate_json(text)


def tag(inputs: npt.NDArray[np.float64], taggers: Taggers) -> dict[str, npt.NDArray[np.float64]]:
    """Evaluate the taggers.

    Args:
        inputs: (jets, inputs) of `tagging_inputs`.
        taggers: the networks.

    Returns:
        Field of ``FatJet`` -> (jets): ``btagDeepB`` in 0 to 1, a monotone function of the network that takes CMS's
        working points at 10 %, 1 % and 0.1 % of light jets; ``particleNetMD_*``, which add up to 1.
    """
    x = (inputs - np.array(taggers.mean)) / np.array(taggers.width)
    logits = taggers.btag.logits(x)
    loose, medium, tight = taggers.btag_thresholds
    # sigmoid tails outside, straight lines between the working points
    difference = logits[:, 1] - logits[:, 0]
    btag = np.interp(difference, [loose, medium, tight], BTAG_WORKING_POINTS)
    low, high = BTAG_WORKING_POINTS[0], BTAG_WORKING_POINTS[2]
    btag = np.where(difference < loose, low * np.exp(np.minimum(difference - loose, 0.0)), btag)
    btag = np.where(difference > tight, 1 - (1 - high) * np.exp(np.minimum(tight - difference, 0.0)), btag)
    scores = taggers.x.logits(x)
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "btagDeepB": btag,
        **{f"particleNetMD_{name}": probabilities[:, k] for k, name in enumerate(taggers.x.classes)},
    }
