"""Jet clustering, soft drop and N-subjettiness on flat arrays of particle momenta.

Many jets at once are given as one array of momenta and the offsets where each jet begins and ends, the layout of
awkward's lists: jet ``j`` owns ``momenta[offsets[j]:offsets[j + 1]]``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import awkward as ak
import fastjet
import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import rapidity
from oddjets.core.kinematics import invariant_mass, offsets_from

__all__ = [
    "ClusteredJets",
    "SoftDropJets",
    "cluster_jets",
    "n_subjettiness",
    "soft_drop",
    "soft_drop_compiled",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# fastjet (arXiv:1111.6097) would print a banner to standard output, which belongs to data
fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)

#: kT and Cambridge/Aachen exponents of the generalised kT distance
_KT, _CAMBRIDGE = 1, 0


class ClusteredJets(NamedTuple):
    """Inclusive jets of many events, in each event by descending pT."""

    #: (jets, 4) px, py, pz, E in GeV
    momenta: Floats
    #: (events + 1) where each event's jets begin and end
    event_offsets: Integers
    #: (constituents) rows of the input momenta, jet after jet
    constituents: Integers
    #: (jets + 1) where each jet's constituents begin and end
    constituent_offsets: Integers


class SoftDropJets(NamedTuple):
    """Soft-dropped jets."""

    #: (jets, 4) px, py, pz, E of the groomed jet in GeV
    momenta: Floats
    #: (jets, 2, 4) the two prongs that passed, harder first; a jet that never passes has one prong (itself) and zeros
    subjets: Floats

    @property
    def mass(self) -> Floats:
        """Groomed masses, (jets,) in GeV."""
        return invariant_mass(self.momenta)


def cluster_jets(p: Floats, offsets: Integers, radius: float = 0.8, min_pt: float = 0.0) -> ClusteredJets:
    """Cluster every event's particles with anti-kT (E scheme) by fastjet.

    Args:
        p: (particles, 4) px, py, pz, E in GeV.
        offsets: (events + 1) where each event's particles begin and end.
        radius: the jet radius R.
        min_pt: jets below are dropped, GeV.

    Returns:
        The jets and the rows of ``p`` that each is made of.
    """
    particles = ak.zip(dict(zip(("px", "py", "pz", "E"), p.T, strict=True)), with_name="Momentum4D")
    events = ak.Array(
        ak.contents.ListOffsetArray(ak.index.Index64(np.asarray(offsets, np.int64)), ak.to_layout(particles))
    )
    sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    jets, indices = sequence.inclusive_jets(min_pt=min_pt), sequence.constituent_index(min_pt=min_pt)
    order = ak.argsort(jets.px**2 + jets.py**2, axis=1, ascending=False)
    jets, indices = jets[order], indices[order]
    n_jets = ak.to_numpy(ak.num(jets))
    sizes = ak.to_numpy(ak.flatten(ak.num(indices, axis=2)))
    first = np.repeat(np.repeat(np.asarray(offsets)[:-1], n_jets), sizes)
    columns = [ak.to_numpy(ak.flatten(jets[c])).astype(np.float64) for c in ("px", "py", "pz", "E")]
    return ClusteredJets(
        np.stack(columns, axis=-1),
        offsets_from(n_jets),
        ak.to_numpy(ak.flatten(indices, axis=None)).astype(np.int64) + first,
        offsets_from(sizes),
    )


def soft_drop(p: Floats, offsets: Integers, z_cut: float = 0.1, beta: float = 0.0, radius: float = 0.8) -> SoftDropJets:
    """Groom jets by soft drop (Larkoski et al., arXiv:1402.2657) on their Cambridge/Aachen history.

    The last merging is undone until min(pT1, pT2) / (pT1 + pT2) > z_cut (dR12 / radius)^beta; else the softer prong is
    dropped.

    Args:
        p: (particles, 4) px, py, pz, E of the jets' constituents in GeV.
        offsets: (jets + 1) where each jet's constituents begin and end.
        z_cut: the momentum fraction that a prong needs.
        beta: the angular exponent.
        radius: the jet radius R0.

    Returns:
        Groomed momenta and the two prongs; zeros for a jet without constituents.
    """
    jets, subjets = soft_drop_compiled(
        np.ascontiguousarray(p, np.float64), np.asarray(offsets, np.int64), z_cut, beta, radius
    )
    return SoftDropJets(jets, subjets)


def n_subjettiness(p: Floats, offsets: Integers, max_axes: int = 4, radius: float = 0.8) -> Floats:
    """Compute tau_1 ... tau_N with beta = 1 (Thaler and Van Tilburg, arXiv:1011.2268).

    As CMS does: tau_N = sum_i pT_i min_k dR(i, k) / (R0 sum_i pT_i), axes from exclusive kT (E scheme), then minimised
    from there (arXiv:1108.2701), which finds a local minimum.

    Args:
        p: (particles, 4) px, py, pz, E of the jets' constituents in GeV.
        offsets: (jets + 1) where each jet's constituents begin and end.
        max_axes: the largest N.
        radius: the jet radius R0.

    Returns:
        (jets, max_axes): tau_N in column N - 1; exactly 0 for jets of at most N constituents.
    """
    return np.asarray(
        _n_subjettiness(np.ascontiguousarray(p, np.float64), np.asarray(offsets, np.int64), max_axes, radius)
    )


@numba.njit(cache=True)
def _delta_phi(a, b):  # type: ignore[no-untyped-def]
    d = a - b
    # not that of `oddjets.core.kernels`, which rounds otherwise: several times faster than a remainder
    return d - 2 * math.pi * math.floor(d / (2 * math.pi) + 0.5)


@numba.njit(cache=True)
def _distance(power, y, phi, pt2, i, j):  # type: ignore[no-untyped-def]
    dphi = abs(phi[i] - phi[j])
    # not by a remainder, for speed: azimuths are in (-pi, pi]
    dphi = min(dphi, 2 * math.pi - dphi)
    d = (y[i] - y[j]) ** 2 + dphi * dphi
    return d * min(pt2[i], pt2[j]) if power == _KT else d


@numba.njit(cache=True)
def _history(p, power):  # type: ignore[no-untyped-def]
    """Return all n - 1 mergings without a beam distance, and the merged momenta.

    Each pseudojet remembers its nearest neighbour (in distance for either exponent), so that a merging costs O(n). What is
    left is kept side by side in the first slots of small arrays; a slot that becomes free takes the last one's content.
    """
    n = len(p)
    q = np.zeros((2 * n - 1, 4))
    q[:n] = p
    parents = np.full((2 * n - 1, 2), -1)
    y, phi, pt2 = np.zeros(2 * n - 1), np.zeros(2 * n - 1), np.zeros(2 * n - 1)
    for i in range(n):
        y[i], phi[i], pt2[i] = rapidity(q[i]), math.atan2(q[i, 1], q[i, 0]), q[i, 0] ** 2 + q[i, 1] ** 2
    node, near, near_d = np.arange(n), np.full(n, -1), np.full(n, np.inf)
    slot_y, slot_phi, slot_pt2 = y[:n].copy(), phi[:n].copy(), pt2[:n].copy()
    for i in range(n):
        for j in range(i):
            d = _distance(power, slot_y, slot_phi, slot_pt2, i, j)
            if d < near_d[i]:
                near_d[i], near[i] = d, j
            if d < near_d[j]:
                near_d[j], near[j] = d, i
    left = n
    for new in range(n, 2 * n - 1):
        best = 0
        for i in range(1, left):
            if near_d[i] < near_d[best]:
                best = i
        kept, gone = min(best, near[best]), max(best, near[best])
        i, j = node[kept], node[gone]
        for k in range(4):
            q[new, k] = q[i, k] + q[j, k]
        y[new], phi[new] = rapidity(q[new]), math.atan2(q[new, 1], q[new, 0])
        pt2[new] = q[new, 0] ** 2 + q[new, 1] ** 2
        parents[new, 0], parents[new, 1] = i, j
        node[kept], slot_y[kept], slot_phi[kept], slot_pt2[kept] = new, y[new], phi[new], pt2[new]
        near[kept], near_d[kept] = -1, np.inf
        left -= 1
        node[gone], slot_y[gone], slot_phi[gone], slot_pt2[gone] = (
            node[left],
            slot_y[left],
            slot_phi[left],
            slot_pt2[left],
        )
        near[gone], near_d[gone] = near[left], near_d[left]
        for i in range(left):
            if i == kept:
                continue
            if near[i] == kept or near[i] == gone:
                near_d[i] = np.inf
                for j in range(left):
                    if j != i:
                        d = _distance(power, slot_y, slot_phi, slot_pt2, i, j)
                        if d < near_d[i]:
                            near_d[i], near[i] = d, j
            elif near[i] == left:
                near[i] = gone
            d = _distance(power, slot_y, slot_phi, slot_pt2, i, kept)
            if d < near_d[i]:
                near_d[i], near[i] = d, kept
            if d < near_d[kept]:
                near_d[kept], near[kept] = d, i
    return q, parents, y, phi, pt2


@numba.njit(cache=True)
def soft_drop_compiled(p, offsets, z_cut, beta, radius):  # type: ignore[no-untyped-def]
    """Return momenta of groomed jets, (jets, 4), and their subjets, (jets, 2, 4): `soft_drop` for compiled callers."""
    n_jets = len(offsets) - 1
    jets, subjets = np.zeros((n_jets, 4)), np.zeros((n_jets, 2, 4))
    for jet in range(n_jets):
        n = offsets[jet + 1] - offsets[jet]
        if n == 0:
            continue
        q, parents, y, phi, pt2 = _history(p[offsets[jet] : offsets[jet + 1]], _CAMBRIDGE)
        node = 2 * n - 2
        while parents[node, 0] >= 0:
            a, b = parents[node, 0], parents[node, 1]
            if pt2[b] > pt2[a]:
                a, b = b, a
            pt_a, pt_b = math.sqrt(pt2[a]), math.sqrt(pt2[b])
            angle = math.hypot(y[a] - y[b], _delta_phi(phi[a], phi[b])) / radius
            if pt_b > z_cut * angle**beta * (pt_a + pt_b):
                subjets[jet, 0], subjets[jet, 1] = q[a], q[b]
                break
            node = a
        jets[jet] = q[node]
        if parents[node, 0] < 0:
            subjets[jet, 0] = q[node]
    return jets, subjets


@numba.njit(cache=True)
def _minimise(pt, y, phi, axes_y, axes_phi, radius):  # type: ignore[no-untyped-def]
    """Move axes to the weighted (geometric) median of what is nearest to them until tau gains less than 1e-4."""
    n_axes = len(axes_y)
    best = np.inf
    for _ in range(100):
        tau = 0.0
        sums = np.zeros((n_axes, 3))
        for i in range(len(pt)):
            near, near_d, near_phi = 0, np.inf, 0.0
            for k in range(n_axes):
                dphi = _delta_phi(phi[i], axes_phi[k])
                d = (y[i] - axes_y[k]) ** 2 + dphi * dphi
                if d < near_d:
                    near, near_d, near_phi = k, d, dphi
            near_d = math.sqrt(near_d)
            tau += pt[i] * near_d
            w = pt[i] / max(near_d, 1e-6)
            sums[near, 0] += w * y[i]
            sums[near, 1] += w * near_phi
            sums[near, 2] += w
        if tau > best * (1 - 1e-4):
            best = min(best, tau)
            break
        best = tau
        for k in range(n_axes):
            if sums[k, 2] > 0:
                axes_y[k] = sums[k, 0] / sums[k, 2]
                axes_phi[k] += sums[k, 1] / sums[k, 2]
    return best / (radius * pt.sum())


@numba.njit(cache=True)
def _n_subjettiness(p, offsets, max_axes, radius):  # type: ignore[no-untyped-def]
    n_jets = len(offsets) - 1
    tau = np.zeros((n_jets, max_axes))
    for jet in range(n_jets):
        n = offsets[jet + 1] - offsets[jet]
        if n < 2:
            continue
        _, parents, y, phi, pt2 = _history(p[offsets[jet] : offsets[jet + 1]], _KT)
        pt = np.sqrt(pt2[:n])
        for n_axes in range(1, min(max_axes, n - 1) + 1):
            # the n_axes pseudojets left after n - n_axes mergings: those made so far that nothing made so far used up
            made = 2 * n - n_axes
            used = np.zeros(made, np.bool_)
            for k in range(n, made):
                used[parents[k, 0]] = used[parents[k, 1]] = True
            axes_y, axes_phi = np.zeros(n_axes), np.zeros(n_axes)
            found = 0
            for k in range(made):
                if not used[k]:
                    axes_y[found], axes_phi[found] = y[k], phi[k]
                    found += 1
            tau[jet, n_axes - 1] = _minimise(pt, y[:n], phi[:n], axes_y, axes_phi, radius)
    return tau
