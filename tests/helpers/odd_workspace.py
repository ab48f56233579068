"""Workspaces that pyhf's schema allows and nobody expects: odd names, numbers, orders, parameters and measurements."""

from __future__ import annotations

from typing import Any

import numpy as np

#: any text is a name
NAMES = (
    "signal region",
    "µ→ττ",
    "a[0]",
    "ch(1)/b",
    "x: y",
    "",
    "0",
    "  ",
    "SR_A",
    "[b]red[/b]",
    'quote"d',
    "new\nline",
    "b\\s",
    "free",
)


def odd_workspace(seed: int) -> dict[str, Any]:
    """A workspace that is valid by the schema, with some of the oddities that it allows.

    Args:
        seed: of the random numbers.
    """
    rng = np.random.default_rng([seed, 31])
    odd = _Odd(rng)
    channels = [odd.channel(name) for name in odd.names(int(rng.integers(1, 4)))]
    observations = [odd.observation(channel) for channel in channels]
    if odd.some(0.3):
        observations.reverse()
    types: dict[str, tuple[str, int]] = {}
    for channel in channels:
        for sample in channel["samples"]:
            for m in sample["modifiers"]:
                binned = m["type"] in ("shapefactor", "shapesys", "staterror")
                types[m["name"]] = (m["type"], len(sample["data"]) if binned else 1)
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [odd.measurement(types, k) for k in range(int(rng.choice([1, 1, 3])))],
        "version": "1.0.0",
    }


class _Odd:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.one_bin = self.some(0.2)
        self.bins = 1 if self.one_bin else int(rng.integers(1, 5))
        self.strength, self.nuisance, self.shape, self.free = self.names(4)

    def some(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def names(self, number: int) -> list[str]:
        odd = self.rng.choice(len(NAMES), number, replace=False)
        return [NAMES[i] if self.some(0.4) else f"name{i}" for i in odd]

    def number(self, value: float) -> float | int:
        """An integer where a float is usual."""
        return round(value) if self.some(0.2) else float(value)

    def yields(self, scale: float) -> list[float | int]:
        if self.some(0.1):
            return [self.number(0.0)] * self.bins
        values = scale * self.rng.uniform(0.1, 1.5, self.bins)
        values[self.rng.random(self.bins) < 0.08] = 0.0
        values[self.rng.random(self.bins) < 0.03] *= -0.1
        return [self.number(v) for v in values]

    def channel(self, name: str) -> dict[str, Any]:
        rng = self.rng
        if not self.one_bin and self.some(0.3):
            self.bins = int(rng.integers(1, 5))
        samples = []
        for k, sample in enumerate(self.names(int(rng.integers(1, 4)))):
            y = self.yields(float(rng.choice([1e-9, 1e-3, 5.0, 100.0, 1e6, 1e9], p=[0.03, 0.07, 0.3, 0.5, 0.05, 0.05])))
            samples.append({"name": sample, "data": y, "modifiers": self.modifiers(y, k, name)})
        return {"name": name, "samples": samples}

    def modifiers(self, y: list[float | int], k: int, channel: str) -> list[dict[str, Any]]:
        rng, result = self.rng, []
        nominal = np.array(y, dtype=float)
        if k == 0 or self.some(0.1):
            result.append({"name": self.strength, "type": "normfactor", "data": None})
        if self.some(0.2):
            result.append({"name": "lumi", "type": "lumi", "data": None})
        if self.some(0.4):
            hi, lo = np.exp(rng.normal(0, 0.2, 2))
            if self.some(0.2):
                lo = hi
            if self.some(0.1):
                hi = lo = 1
            result.append(
                {
                    "name": self.nuisance,
                    "type": "normsys",
                    "data": {"hi": self.number(hi) or 1, "lo": self.number(lo) or 1},
                }
            )
        if self.some(0.4):
            up, down = ((1 + rng.normal(0, 0.2, len(y))) * nominal for _ in range(2))
            if self.some(0.2):
                up = down = nominal
            name = self.nuisance if self.some(0.2) else self.shape
            result.append(
                {"name": name, "type": "histosys", "data": {"hi_data": up.tolist(), "lo_data": down.tolist()}}
            )
        if self.some(0.3):
            error = rng.uniform(0, 0.4, len(y)) * np.abs(nominal)
            error[rng.random(len(y)) < 0.2] = 0
            name = f"stat {channel}" if self.some(0.9) else "stat everywhere"
            result.append({"name": name, "type": "staterror", "data": [self.number(e) for e in error]})
        if self.some(0.2):
            error = rng.uniform(0, 0.4, len(y)) * np.abs(nominal)
            error[rng.random(len(y)) < 0.2] = 0
            result.append({"name": f"{channel} {k}", "type": "shapesys", "data": error.tolist()})
        if k and self.some(0.2):
            result.append({"name": self.free, "type": "shapefactor", "data": None})
        return result

    def observation(self, channel: dict[str, Any]) -> dict[str, Any]:
        total = np.sum([s["data"] for s in channel["samples"]], axis=0)
        seen = self.rng.poisson(np.maximum(total, 0.05)).astype(float)
        if self.some(0.2):
            seen = np.maximum(total, 0)
        if self.some(0.1):
            seen = np.zeros(len(total))
        return {"name": channel["name"], "data": [self.number(n) if n == round(n) else float(n) for n in seen]}

    def measurement(self, types: dict[str, tuple[str, int]], k: int) -> dict[str, Any]:
        rng, parameters = self.rng, []
        for name, (kind, bins) in types.items():
            if kind == "lumi":
                width = float(rng.choice([0.02, 0.2]))
                parameters.append(
                    {"name": name, "auxdata": [1], "sigmas": [width], "inits": [1], "bounds": [[0.5, 1.5]]}
                )
                continue
            if not self.some(0.3):
                continue
            parameter: dict[str, Any] = {"name": name}
            if self.some(0.3):
                parameter["inits"] = [self.number(float(rng.choice([0.5, 1.0, 2.0])))] * bins
            if self.some(0.3):
                low, high = float(rng.choice([-3, 0, 0.1, 1.5])), float(rng.choice([3, 10, 1e3]))
                parameter["bounds"] = [[self.number(low), self.number(high)]] * bins
            if self.some(0.2):
                parameter["fixed"] = self.some(0.5)
            if kind in ("normsys", "histosys", "staterror", "shapesys") and self.some(0.2):
                parameter["auxdata"] = [0.3 if kind in ("normsys", "histosys") else 1.1] * bins
            if kind == "staterror" and self.some(0.1):
                parameter["sigmas"] = [0.1] * bins
            parameters.append(parameter)
        if self.some(0.2):
            parameters.append({"name": "of no modifier", "inits": [1.0, 2.0]})
        poi = str(rng.choice(["", self.strength, self.strength, self.strength, self.nuisance]))
        return {"name": f"m{k}" if self.some(0.8) else "", "config": {"poi": poi, "parameters": parameters}}
