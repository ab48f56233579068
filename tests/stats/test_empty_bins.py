"""Empty bins: a template that a variation turns negative there earns nothing."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest

from oddjets.stats.model import Model


@pytest.fixture
def workspace() -> dict:
    """A signal whose shape variation of 150 % makes it negative in the empty bins from one standard deviation on."""
    signal = {
        "name": "signal",
        "data": [6.0, 0.8, 0.6],
        "modifiers": [
            {"name": "mu", "type": "normfactor", "data": None},
            {"name": "jms", "type": "histosys", "data": {"hi_data": [6.0, 2.0, 1.5], "lo_data": [6.0, -0.4, -0.3]}},
            {"name": "mcstat", "type": "staterror", "data": [1.0, 0.8, 0.6]},
        ],
    }
    background = {"name": "background", "data": [5.0, 0.3, 0.2], "modifiers": []}
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0, 10]], "inits": [1]}]}
    return {
        "channels": [{"name": "A", "samples": [signal, background]}],
        "observations": [{"name": "A", "data": [11.0, 0.0, 0.0]}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def test_the_fit_does_not_run_away_into_negative_rates(workspace):
    model = Model(workspace, "mu")
    # the covariance is left out: at the kink where a bin expects nothing there is none
    fit = model.fit(with_covariance=False)
    pars = dict(zip(fit.names, fit.values, strict=True))
    # against the saturated model no fit can be better than perfect
    assert model.deviance(fit.values, model.data)[0] >= 0
    assert 0.3 < pars["mu"] < 3
    assert abs(pars["jms"]) < 2


def test_the_likelihood_is_that_of_pyhf_with_clipped_bins(workspace):
    model = Model(workspace, "mu")
    clipped = pyhf.Workspace(workspace).model(clip_bin_data=0.0)
    data = pyhf.Workspace(workspace).data(clipped)
    start = np.asarray(clipped.config.suggested_init(), dtype=float)
    names = list(model.parameters.names)
    order = [names.index(n) for n in clipped.config.par_names]
    for jms in (-4.0, -1.5, 0.0, 2.0):
        pars = start.copy()
        pars[clipped.config.par_names.index("jms")] = jms
        pars[clipped.config.par_names.index("mu")] = 2.0
        ours = np.empty(len(names))
        ours[order] = pars
        expected = -2 * float(clipped.logpdf(pars, data)[0])
        assert model.twice_nll(ours) == pytest.approx(expected, abs=1e-6)
