"""Random small workspaces with every modifier that the fast fit knows."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_workspace(seed: int, *, low_counts: bool = False, two_sided: bool = False) -> dict[str, Any]:
    """Two or three channels with one signal, two backgrounds and, sometimes, a template with free bins.

    Args:
        seed: of the random numbers.
        two_sided: the variations down mirror those up: no second minimum.
        low_counts: a few events a bin, some bins empty.
    """
    rng = np.random.default_rng(seed)
    channels, observations = [], []
    n_channels, bins = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    scale = 1.5 if low_counts else 60.0
    free = rng.random() < 0.6
    with_lumi = rng.random() < 0.5
    kinds = {name: rng.random() for name in ("n1", "n2", "h1", "h2")}
    shared_stat = rng.random() < 0.7
    for c in range(n_channels):
        name, total, samples = f"ch{c}", np.zeros(bins), []
        for sample in ("signal", "bkg1", "bkg2"):
            y = scale * rng.uniform(0.2, 1.5, bins) * (0.5 if sample == "signal" else 1.0)
            if low_counts and rng.random() < 0.3:
                y[rng.integers(bins)] = 0.0
            modifiers: list[dict[str, Any]] = []
            if sample == "signal":
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            elif rng.random() < 0.3 and c > 0:
                modifiers.append({"name": "k", "type": "normfactor", "data": None})
            if with_lumi:
                modifiers.append({"name": "lumi", "type": "lumi", "data": None})
            for k in ("n1", "n2"):
                if rng.random() < kinds[k]:
                    hi = float(np.exp(rng.normal(0, 0.2)))
                    lo = 1 / hi if two_sided else float(np.exp(rng.normal(0, 0.2)))
                    modifiers.append({"name": k, "type": "normsys", "data": {"hi": hi, "lo": lo}})
            # n2 is sometimes a shape as well: one parameter, two modifiers
            for k in ("h1", "h2", "n2"):
                if rng.random() < kinds[k] * (0.5 if k == "n2" else 1):
                    up, down = (1 + rng.normal(0, 0.12, bins) for _ in range(2))
                    down = 2 - up if two_sided else down
                    data = {"hi_data": (y * np.maximum(up, 0)).tolist(), "lo_data": (y * np.maximum(down, 0)).tolist()}
                    modifiers.append({"name": k, "type": "histosys", "data": data})
            stat = (rng.uniform(0.05, 0.6 if low_counts else 0.2, bins) * y).tolist()
            if shared_stat and sample != "signal":
                modifiers.append({"name": f"stat_{name}", "type": "staterror", "data": stat})
            elif sample == "signal" and rng.random() < 0.5:
                modifiers.append({"name": f"stat_signal_{name}", "type": "staterror", "data": stat})
            elif rng.random() < 0.4:
                modifiers.append({"name": f"shape_{name}_{sample}", "type": "shapesys", "data": stat})
            samples.append({"name": sample, "data": y.tolist(), "modifiers": modifiers})
            total += y
        if free and c < 2:
            y = 2 * scale * rng.uniform(0.5, 1.5, bins)
            modifiers = [{"name": "free", "type": "shapefactor", "data": None}]
            if rng.random() < 0.5:
                modifiers.append({"name": "n1", "type": "normsys", "data": {"hi": 1.1, "lo": 0.92}})
            samples.append({"name": "qcd", "data": y.tolist(), "modifiers": modifiers})
            total += y
        channels.append({"name": name, "samples": samples})
        observations.append({"name": name, "data": rng.poisson(total).astype(float).tolist()})
    parameters: list[dict[str, Any]] = [{"name": "mu", "bounds": [[0.0, 10.0]], "inits": [1.0]}]
    if with_lumi:
        parameters.append({"name": "lumi", "auxdata": [1.0], "sigmas": [0.03], "bounds": [[0.5, 1.5]], "inits": [1.0]})
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def random_point(model: Any, seed: int) -> np.ndarray:
    """A parameter point inside of the bounds."""
    rng = np.random.default_rng(seed)
    p = model.parameters
    width = np.where(p.constrained, np.maximum(p.sigma, 0.02), 0.4)
    point = np.clip(p.init + rng.normal(0, 1, len(p)) * width, p.low + 1e-3, p.high)
    return np.where(p.fixed, p.init, point)
