"""The methods of `oddjets learn`: which one it is, and what trains."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

import pytest

from oddjets.core.errors import OddjetsError
from oddjets.learning.autoencoder import AutoencoderTrainer
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.mixture import MixtureTrainer
from oddjets.workflow.stages.learn_methods import METHODS, OUTLIERS, chosen_method, trained_with, trainer_of


@pytest.mark.parametrize(("installed", "chosen"), [(True, "autoencoder"), (False, "mixture")])
def test_outliers_are_an_autoencoder_where_pytorch_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool, chosen: str
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torch" and (installed or None))
    method, why = chosen_method("outliers")
    assert method == chosen
    assert f"{chosen}, since PyTorch is {'' if installed else 'not '}installed" in why


def test_what_is_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch):
    assert chosen_method("mixture") == ("mixture", "")
    assert chosen_method("tag-n-train") == ("tag-n-train", "")
    with pytest.raises(OddjetsError, match="--method: no method 'mixtures'; did you mean 'mixture'"):
        chosen_method("mixtures")

    def absent(name: str) -> Any:
        raise ImportError(name, name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(OddjetsError, match=r"this needs torch: pip install 'oddjets\[train\]'"):
        chosen_method("autoencoder")
    with pytest.raises(OddjetsError, match=r"this needs sklearn: pip install 'oddjets\[learn\]'"):
        trained_with("mixture")


def test_each_method_has_its_trainer():
    kinds = {"autoencoder": AutoencoderTrainer, "mixture": MixtureTrainer}
    for method in METHODS:
        trainer, words = trainer_of(method, 3, ["pt", "mass"])
        assert isinstance(trainer, kinds.get(method, BoostedTrainer))
        assert trainer.members == 3
        assert words.startswith("3 ")
        if method in OUTLIERS:
            assert trainer.names == ("pt", "mass")
    assert trained_with("mixture") == f"scikit-learn {importlib.metadata.version('scikit-learn')}"
