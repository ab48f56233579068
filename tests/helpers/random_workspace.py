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


def hard_workspace(seed: int) -> dict[str, Any]:
    """One to six channels with all that makes several minima, bounds and kinks likely.

    Zero counts, negative bins, variations that go the same way up and down, nuisances shared by samples and channels, several
    strengths that may be negative, fixed parameters, free bins with statistical errors.
    """
    rng = np.random.default_rng([seed, 7])
    n_channels, strengths = int(rng.integers(1, 7)), [f"mu{i}" if i else "mu" for i in range(int(rng.integers(1, 4)))]
    scale = float(rng.choice([1.5, 8.0, 60.0, 2000.0]))
    nuisances = {f"n{i}": rng.random() for i in range(int(rng.integers(1, 6)))}
    shapes = {f"h{i}": rng.random() for i in range(int(rng.integers(0, 4)))}
    one_sided, with_lumi, free = rng.random() < 0.6, rng.random() < 0.4, rng.random() < 0.4
    free_bins = int(rng.integers(1, 4))
    channels, observations = [], []
    for c in range(n_channels):
        bins = free_bins if free else int(rng.integers(1, 5))
        total, samples = np.zeros(bins), []
        names = [*strengths, *(f"bkg{i}" for i in range(int(rng.integers(1, 4))))]
        for sample in names:
            is_signal = sample in strengths
            y = scale * rng.uniform(0.05, 1.5, bins) * (0.4 if is_signal else 1.0)
            if rng.random() < 0.15:
                y[rng.integers(bins)] = 0.0
            if rng.random() < 0.08:
                y[rng.integers(bins)] *= -0.1
            modifiers: list[dict[str, Any]] = []
            if is_signal:
                modifiers.append({"name": sample, "type": "normfactor", "data": None})
            elif rng.random() < 0.2:
                modifiers.append({"name": "k", "type": "normfactor", "data": None})
            if with_lumi:
                modifiers.append({"name": "lumi", "type": "lumi", "data": None})
            for name, chance in nuisances.items():
                if rng.random() < chance:
                    up, down = rng.normal(0, 0.25, 2)
                    down = abs(down) * np.sign(up) if one_sided and rng.random() < 0.5 else -abs(down) * np.sign(up)
                    data = {"hi": float(np.exp(up)), "lo": float(np.exp(down))}
                    modifiers.append({"name": name, "type": "normsys", "data": data})
            for name, chance in shapes.items():
                if rng.random() < chance:
                    up = 1 + rng.normal(0, 0.2, bins)
                    down = up + rng.normal(0, 0.05, bins) if one_sided and rng.random() < 0.5 else 2 - up
                    data = {"hi_data": (y * up).tolist(), "lo_data": (y * down).tolist()}
                    modifiers.append({"name": name, "type": "histosys", "data": data})
            error = (rng.uniform(0.03, 0.5, bins) * np.abs(y)).tolist()
            if rng.random() < 0.5:
                modifiers.append({"name": f"stat_{c}", "type": "staterror", "data": error})
            elif rng.random() < 0.2:
                modifiers.append({"name": f"shape_{c}_{sample}", "type": "shapesys", "data": error})
            samples.append({"name": sample, "data": y.tolist(), "modifiers": modifiers})
            total += y * (rng.uniform(0, 2) if is_signal else 1.0)
        if free and c < 2:
            y = scale * rng.uniform(0.3, 1.5, bins)
            modifiers = [{"name": "free", "type": "shapefactor", "data": None}]
            if rng.random() < 0.4:
                modifiers.append({"name": f"stat_{c}", "type": "staterror", "data": (0.2 * y).tolist()})
            samples.append({"name": "qcd", "data": y.tolist(), "modifiers": modifiers})
            total += y
        channels.append({"name": f"ch{c}", "samples": samples})
        observations.append({"name": f"ch{c}", "data": rng.poisson(np.maximum(total, 0.05)).astype(float).tolist()})
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "bounds": [[float(rng.choice([-5.0, 0.0, 0.0])), float(rng.choice([3.0, 10.0, 50.0]))]],
            "inits": [1.0],
        }
        for name in strengths
    ]
    if with_lumi:
        parameters.append({"name": "lumi", "auxdata": [1.0], "sigmas": [0.03], "bounds": [[0.5, 1.5]], "inits": [1.0]})
    used = {m["name"] for channel in channels for s in channel["samples"] for m in s["modifiers"]}
    fixed = sorted({*nuisances, *shapes} & used)
    if fixed and rng.random() < 0.3:
        parameters.append({"name": str(rng.choice(fixed)), "fixed": True})
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def one_sided_workspace(seed: int, nuisances: int, *, bins: int = 5, size: float = 0.15) -> dict[str, Any]:
    """Three channels with a signal, two backgrounds and many shapes whose variations up and down go the same way.

    Args:
        seed: of the random numbers.
        nuisances: number of the shapes.
        bins: of each channel.
        size: of the variations, relative.
    """
    rng = np.random.default_rng([seed, nuisances])
    channels, observations = [], []
    for c in range(3):
        total, samples = np.zeros(bins), []
        for sample in ("signal", "bkg1", "bkg2"):
            y = 60 * rng.uniform(0.2, 1.5, bins) * (0.4 if sample == "signal" else 1.0)
            modifiers: list[dict[str, Any]] = []
            if sample == "signal":
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            else:
                modifiers.append({"name": f"stat_{c}", "type": "staterror", "data": (0.08 * y).tolist()})
            for k in range(nuisances):
                if rng.random() < 0.7:
                    up = rng.normal(0, size, bins)
                    down = np.abs(rng.normal(0, size, bins)) * np.sign(up)
                    data = {"hi_data": (y * (1 + up)).tolist(), "lo_data": (y * (1 + down)).tolist()}
                    modifiers.append({"name": f"h{k}", "type": "histosys", "data": data})
            samples.append({"name": sample, "data": y.tolist(), "modifiers": modifiers})
            total += y
        channels.append({"name": f"ch{c}", "samples": samples})
        observations.append({"name": f"ch{c}", "data": rng.poisson(total).astype(float).tolist()})
    parameters = [{"name": "mu", "bounds": [[0.0, 10.0]], "inits": [1.0]}]
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }
