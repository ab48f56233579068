"""Descriptions of the keys of the analysis YAML, of which the reference page is made."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from pydantic import BaseModel

import oddjets.config
from oddjets.config.yaml import StrictModel

MODELS = [
    model
    for module in pkgutil.iter_modules(oddjets.config.__path__, "oddjets.config.")
    for model in vars(importlib.import_module(module.name)).values()
    if inspect.isclass(model) and issubclass(model, BaseModel) and model.__module__ == module.name
]


def test_all_models_are_found() -> None:
    assert {"Analysis", "Fit", "SimulationSpec", "Execution", "TaggerNames"} < {model.__name__ for model in MODELS}


@pytest.mark.parametrize("model", [m for m in MODELS if m is not StrictModel], ids=lambda model: model.__name__)
def test_every_key_has_a_description(model: type[BaseModel]) -> None:
    lacking = [name for name, field in model.model_fields.items() if len((field.description or "").split()) < 2]
    assert not lacking


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_descriptions_speak_of_yaml_and_not_of_python(model: type[BaseModel]) -> None:
    words = {name: field.description or "" for name, field in model.model_fields.items()}
    assert not [name for name, text in words.items() if "None" in text or "True" in text or "False" in text]
