"""pyhf's parameters of a model, in its order and with its constraints, without the arrays of pyhf's own model.

These arrays have an entry for each sample, modifier and bin of the whole model, whether or not the modifier acts there: most of
the time and of the memory of `pyhf.Model`. pyhf takes custom modifiers: those here only say which parameters there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyhf
from pyhf.modifiers import histosys, lumi, normfactor, normsys, shapefactor, shapesys, staterror

__all__ = ["pyhf_config"]

#: modifiers whose numbers say something about their parameters
_WITH_NUMBERS = ("shapesys", "staterror")


def pyhf_config(channels: Sequence[Mapping[str, Any]], parameters: Sequence[Mapping[str, Any]]) -> Any:
    """Return the `config` of the `pyhf.Model` of some channels.

    Args:
        channels: those of a workspace, checked.
        parameters: those of a measurement.

    Returns:
        pyhf's configuration: order, suggestions, constraints, without a parameter of interest.

    Raises:
        pyhf.exceptions.InvalidModel, InvalidNameReuse: as `pyhf.Model`; also for a staterror whose samples are in different
            channels.
    """
    # pyhf copies what it is given
    skeleton = [{"name": c["name"], "samples": [_without_numbers(s) for s in c["samples"]]} for c in channels]
    spec = {"channels": skeleton, "parameters": parameters}
    return pyhf.Model(spec, modifier_set=_MODIFIERS, poi_name=None, validate=False).config


def _without_numbers(sample: Mapping[str, Any]) -> dict[str, Any]:
    modifiers = [m if m["type"] in _WITH_NUMBERS else {**m, "data": None} for m in sample["modifiers"]]
    return {"name": sample["name"], "data": sample["data"], "modifiers": modifiers}


class _Builder:
    """Collects the parameters of one type of modifiers, as `pyhf.modifiers`' builders do."""

    is_shared = True
    of_type: Any

    def __init__(self, config: Any) -> None:
        self.config = config
        self.required_parsets: dict[str, list[dict[str, Any]]] = {}

    def append(
        self, key: str, channel: str, sample: str, modifier: dict[str, Any] | None, defined: dict[str, Any] | None
    ) -> None:
        """Take what a sample of a channel has of a modifier; None: nothing."""
        if modifier is not None and defined is not None and modifier["name"] not in self.required_parsets:
            required = self.of_type.required_parset(defined["data"], modifier["data"])
            self.required_parsets[modifier["name"]] = [required]

    def finalize(self) -> None:
        """End."""


class _StaterrorBuilder(_Builder):
    """Adds the statistical errors of a channel's samples."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._found: dict[str, dict[str, dict[str, tuple[list[float], list[float]]]]] = {}

    def append(
        self, key: str, channel: str, sample: str, modifier: dict[str, Any] | None, defined: dict[str, Any] | None
    ) -> None:
        """Take the errors and the yields of a sample."""
        if modifier is not None and defined is not None:
            of = self._found.setdefault(modifier["name"], {}).setdefault(sample, {})
            of[channel] = modifier["data"], defined["data"]

    def finalize(self) -> None:
        """Add them in each bin, relative to the sum of the yields, and fix those without."""
        for name, samples in sorted(self._found.items()):
            first = next(iter(samples.values()))
            if any(of.keys() != first.keys() for of in samples.values()):
                raise pyhf.exceptions.InvalidModel(
                    f"staterror '{name}' is on one sample in some channels and on another sample in others; use a name for each"
                    " channel"
                )
            # (samples, errors or yields, bins)
            both = np.array([[np.concatenate([of[c][i] for c in first]) for i in (0, 1)] for of in samples.values()])
            total = both[:, 1].sum(axis=0)
            sigmas = np.sqrt((np.where(total > 0, both[:, 0] / np.where(total > 0, total, 1.0), 0.0) ** 2).sum(axis=0))
            fixed = (sigmas == 0).tolist()
            sigmas = np.where(fixed, 1.0, sigmas)
            self.required_parsets[name] = [staterror.required_parset(sigmas, fixed)]


class _Nothing:
    """Stands for pyhf's arrays of a type of modifiers."""

    name = "nothing"
    op_code = "none"

    def __init__(self, **_: Any) -> None:
        """Take what pyhf gives."""


def _builder_of(module: Any, base: type[_Builder] = _Builder) -> tuple[type[_Builder], type[_Nothing]]:
    kind = module.__name__.rsplit(".", 1)[-1]
    original = getattr(module, f"{kind}_builder")
    return type(f"_{kind}_builder", (base,), {"of_type": module, "is_shared": original.is_shared}), _Nothing


#: in the order of pyhf's own, which is that of its parameters
_MODIFIERS = {
    "histosys": _builder_of(histosys),
    "lumi": _builder_of(lumi),
    "normfactor": _builder_of(normfactor),
    "normsys": _builder_of(normsys),
    "shapefactor": _builder_of(shapefactor),
    "shapesys": _builder_of(shapesys),
    "staterror": _builder_of(staterror, _StaterrorBuilder),
}
