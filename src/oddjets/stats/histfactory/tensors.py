"""Dense arrays of a workspace's model for the fast fit.

Parameters have one of three roles. *Global* ones (normfactor, normsys, histosys, lumi) act on many bins. *Local* ones
(shapefactor, shapesys) act on one bin of each channel: those that share bins form small *blocks*, such as the three
QCD factors of an ABCD column, which decouple once the global ones are given. *Gammas* (staterror) act on exactly one bin
and have a Gaussian constraint: they are eliminated in closed form (`barlow_beeston`).

Samples of a channel that have the same factors are merged into one *slot*: exact, since only the sum of their yields counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from oddjets.stats.histfactory.workspace_reader import Spec

__all__ = ["Layout", "Normsys", "compile_layout", "cut"]


#: log-normals above this are strongly correlated, non-linearly, with a free factor of the same samples
LARGE_LOGNORMAL = 0.1


class Normsys(NamedTuple):
    """All (factor group, parameter) pairs with a log-normal, group by group; arrays over the pairs.

    `first` has the place of each group's first pair, for those groups that have one.
    """

    group: np.ndarray
    par: np.ndarray
    log_hi: np.ndarray
    log_lo: np.ndarray
    polynomial: np.ndarray
    first: np.ndarray

    def take(self, pairs: np.ndarray) -> Normsys:
        """Return some of the pairs, with no places of groups."""
        group, par, up, down, polynomial = (a[pairs] for a in self[:-1])
        return Normsys(group, par, up, down, polynomial, self.first[:0])


@dataclass(frozen=True)
class Layout:
    """Dense arrays of a model.

    Sizes: P bins, of which some are empty and pad (the last always is), J slots a bin, Jl of which may have local
    factors, R = 1 + number of gammas a bin (row 0: slots without a gamma), Q shape parameters, K global parameters, G factor
    groups, N blocks of L parameters on B bins.

    Attributes:
        nominal: yields, (P, J).
        shape: S and A of pyhf's interpolation code 4p side by side, (P, J, 2 Q).
        row: one-hot row of a slot, (P, J, R).
        group: factor group of a slot, (P, J).
        uses: local parameters that multiply a slot, (P, Jl, L).
        global_pars: pyhf index, (K,).
        n_shapes: Q; the parameters with shapes are the first of the global ones.
        by_group: for each group, its slots' places in the flattened P J and their shapes.
        first_factor: the parameters with factors are the global ones from here on.
        linear: which group has which factor parameter as a plain factor, (G, number of factor parameters).
        plain: the factor parameters that are a plain factor somewhere.
        pairs: (k, m, mask of the groups) of two plain factors k > m that share groups.
        normsys: see `Normsys`; its `par` counts among the factor parameters.
        block_pars: pyhf index or -1, (N + 1, L); the last block pads.
        block_size: B.
        bin_block: block of a bin, N for none, (P,).
        order: place in the data vector of each bin, n_bins for an empty one, (P,): the bins of the blocks come first, block by
            block, so that the first N B bins are N blocks.
        place: where each bin of the data vector is, (n_bins,); empty in a layout of some bins (`cut`).
        gamma_pars: pyhf index or -1, (P, R - 1).
        products: global factors that multiply a sizeable log-normal somewhere, (K,).
        names: labels of the slots (sample names joined by "+"), per channel.
        local_globals: some slot has both local and global dependence.
    """

    nominal: np.ndarray
    shape: np.ndarray
    row: np.ndarray
    group: np.ndarray
    uses: np.ndarray
    global_pars: np.ndarray
    n_shapes: int
    by_group: list[tuple[np.ndarray, np.ndarray]]
    first_factor: int
    linear: np.ndarray
    plain: list[int]
    pairs: list[tuple[int, int, np.ndarray]]
    normsys: Normsys
    block_pars: np.ndarray
    block_size: int
    bin_block: np.ndarray
    order: np.ndarray
    place: np.ndarray
    gamma_pars: np.ndarray
    products: np.ndarray
    names: dict[str, list[str]]
    local_globals: bool

    @property
    def n_rows(self) -> int:
        """R: one more than the most gammas of a bin."""
        return int(self.row.shape[2])


class _Slot(NamedTuple):
    names: list[str]
    nominal: np.ndarray
    shapes: dict[int, tuple[np.ndarray, np.ndarray]]
    linear: frozenset[int]
    normsys: frozenset[tuple[int, float, float]]
    local: frozenset[str]
    gamma: str | None


def compile_layout(spec: Spec, *, merge: bool = True) -> Layout:
    """Convert a model to dense arrays.

    Args:
        spec: the model.
        merge: merge the samples of a channel that have the same factors; False: one slot per sample.

    Returns:
        The arrays.
    """
    closed = _closed_gammas(spec)
    slots = {c["name"]: _slots(spec, c, closed, merge) for c in spec.channels}
    P = spec.n_bins
    components, gamma_index = _component_indices(spec, closed)

    with_shape = {p for ss in slots.values() for s in ss for p in s.shapes}
    with_factor = {p for ss in slots.values() for s in ss for p in (*s.linear, *(n[0] for n in s.normsys))}
    # shapes first, factors last, what has both in between: slices instead of gathers
    used_global = sorted(with_shape, key=lambda p: (p in with_factor, p)) + sorted(with_factor - set(with_shape))
    position = {p: k for k, p in enumerate(used_global)}
    first_factor = len(used_global) - len(with_factor)
    groups = list(dict.fromkeys((s.linear, s.normsys) for ss in slots.values() for s in ss))
    group_of = {key: g for g, key in enumerate(groups)}

    block_pars, block_bins, bin_block = _blocks(P, components)
    place = {int(p): (n, k) for n, row in enumerate(block_pars) for k, p in enumerate(row) if p >= 0}
    J = max(len(ss) for ss in slots.values())
    Jl = max(sum(bool(s.local) for s in ss) for ss in slots.values())
    R = 1 + max(len({s.gamma for s in ss if s.gamma}) for ss in slots.values())
    Q = len(with_shape)
    nominal, shape = np.zeros((P + 1, J)), np.zeros((P + 1, J, 2 * Q))
    row, group = np.zeros((P + 1, J, R)), np.zeros((P + 1, J), dtype=int)
    row[:, :, 0] = 1
    uses = np.zeros((P + 1, Jl, block_pars.shape[1]), dtype=bool)
    gamma_pars = np.full((P + 1, R - 1), -1)
    for channel, ss in slots.items():
        part = spec.slices[channel]
        gammas = sorted({s.gamma for s in ss if s.gamma})
        for k, gamma in enumerate(gammas):
            gamma_pars[part, k] = gamma_index[gamma][part]
        for j, slot in enumerate(ss):
            nominal[part, j] = slot.nominal
            group[part, j] = group_of[slot.linear, slot.normsys]
            for p, (s, a) in slot.shapes.items():
                q = position[p]
                shape[part, j, q], shape[part, j, Q + q] = s, a
            if slot.gamma:
                row[part, j] = 0
                row[part, j, 1 + gammas.index(slot.gamma)] = 1
            for name in slot.local:
                for b in range(part.start, part.stop):
                    uses[b, j, place[int(components[name][b])][1]] = True
    linear = np.zeros((len(groups), len(with_factor)), dtype=bool)
    entries = []
    for g, (lin, norm) in enumerate(groups):
        for p in lin:
            linear[g, position[p] - first_factor] = True
        entries += [(g, position[p] - first_factor, np.log(hi), np.log(lo)) for p, lo, hi in sorted(norm)]
    order = np.concatenate([block_bins.ravel(), np.setdiff1d(np.arange(P), block_bins), [P]])
    where = np.empty(P, dtype=int)
    where[order[order < P]] = np.flatnonzero(order < P)
    nominal, shape, group = nominal[order], shape[order], group[order]
    return Layout(
        nominal=nominal,
        shape=shape,
        row=row[order],
        group=group,
        uses=uses[order],
        global_pars=np.array(used_global, dtype=int),
        n_shapes=Q,
        by_group=_by_group(group, nominal, shape, len(groups)),
        first_factor=first_factor,
        linear=linear,
        plain=np.flatnonzero(linear.any(axis=0)).tolist(),
        pairs=_pairs(linear),
        products=np.concatenate([np.zeros(first_factor, dtype=bool), _products(linear, entries)]),
        normsys=_normsys(entries),
        block_pars=block_pars,
        block_size=block_bins.shape[1],
        bin_block=bin_block[order],
        order=order,
        place=where,
        gamma_pars=gamma_pars[order],
        names={channel: ["+".join(s.names) for s in ss] for channel, ss in slots.items()},
        local_globals=any(s.local and (s.shapes or s.linear or s.normsys) for ss in slots.values() for s in ss),
    )


def cut(layout: Layout, bins: np.ndarray) -> Layout:
    """Return the layout of some of the bins: whole blocks that follow each other, or bins without a block.

    Args:
        layout: of all bins.
        bins: their positions in it.
    """
    keep = np.append(bins, len(layout.order) - 1)
    N = len(layout.block_pars) - 1
    blocks = np.unique(layout.bin_block[bins])
    blocks = blocks[blocks < N]
    first = int(blocks[0]) if len(blocks) else N
    nominal, shape, group = layout.nominal[keep], layout.shape[keep], layout.group[keep]
    return replace(
        layout,
        nominal=nominal,
        shape=shape,
        row=layout.row[keep],
        group=group,
        uses=layout.uses[keep],
        by_group=_by_group(group, nominal, shape, len(layout.by_group)),
        block_pars=layout.block_pars[np.append(blocks, N)],
        bin_block=np.minimum(layout.bin_block[keep] - first, len(blocks)),
        order=layout.order[keep],
        place=np.zeros(0, dtype=int),
        gamma_pars=layout.gamma_pars[keep],
    )


def _pairs(linear: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    plain = np.flatnonzero(linear.any(axis=0)).tolist()
    pairs = [(k, m, linear[:, k] & linear[:, m]) for k in plain for m in plain if m < k]
    return [pair for pair in pairs if pair[2].any()]


def _products(linear: np.ndarray, entries: list[tuple[int, int, float, float]]) -> np.ndarray:
    large = [g for g, _, up, down in entries if max(abs(up), abs(down)) > LARGE_LOGNORMAL]
    return np.asarray(linear[large].any(axis=0))


def _by_group(
    group: np.ndarray, nominal: np.ndarray, shape: np.ndarray, groups: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    flat = shape.reshape(nominal.size, -1)
    filled = (nominal.ravel() != 0) | (flat != 0).any(axis=1)
    places = [np.flatnonzero((group.ravel() == g) & filled) for g in range(groups)]
    return [(place, flat[place]) for place in places]


def _normsys(entries: list[tuple[int, int, float, float]]) -> Normsys:
    table = np.array(entries, dtype=float).reshape(-1, 4)
    up, down = table[:, 2], table[:, 3]
    hi, lo = np.exp(up), np.exp(down)
    # A polynomial of sixth order in alpha whose value, slope and curvature meet the two exponentials at +-1 (HistFactory,
    # CERN-OPEN-2012-016, interpolation code 4). Its even and odd parts separate; an even function's slope is odd.
    even = [0.5 * (hi + lo) - 1, 0.5 * (up * hi + down * lo), 0.5 * (up**2 * hi + down**2 * lo)]
    odd = [0.5 * (hi - lo), 0.5 * (up * hi - down * lo), 0.5 * (up**2 * hi - down**2 * lo)]
    a246 = np.linalg.solve(np.array([[1.0, 1, 1], [2, 4, 6], [2, 12, 30]]), np.array(even))
    a135 = np.linalg.solve(np.array([[1.0, 1, 1], [1, 3, 5], [0, 6, 20]]), np.array(odd))
    polynomial = np.stack([a135[0], a246[0], a135[1], a246[1], a135[2], a246[2]], axis=-1)
    group = table[:, 0].astype(int)
    return Normsys(group, table[:, 1].astype(int), up, down, polynomial, np.unique(group, return_index=True)[1])


def _modifiers(sample: dict[str, Any]) -> list[dict[str, Any]]:
    # pyhf keeps the last of two modifiers with the same type and name
    return list({(m["type"], m["name"]): m for m in sample["modifiers"]}.values())


def _closed_gammas(spec: Spec) -> set[str]:
    """Return the staterrors whose gammas can be eliminated in closed form: the only one on each of their samples."""
    closed, shared = set(), set()
    for channel in spec.channels:
        for sample in channel["samples"]:
            names = {m["name"] for m in _modifiers(sample) if m["type"] == "staterror"}
            closed |= names
            shared |= names if len(names) > 1 else set()
    return closed - shared


def _slots(spec: Spec, channel: dict[str, Any], closed: set[str], merge: bool) -> list[_Slot]:
    merged: dict[Any, _Slot] = {}
    sets = spec.parameters.sets
    for sample in channel["samples"]:
        nominal = np.asarray(sample["data"], dtype=float)
        shapes, linear, normsys, local, gamma = {}, set(), set(), set(), None
        for m in _modifiers(sample):
            kind, name = m["type"], m["name"]
            index = sets[name].start
            if kind in ("normfactor", "lumi"):
                linear.add(index)
            elif kind == "normsys":
                normsys.add((index, float(m["data"]["lo"]), float(m["data"]["hi"])))
            elif kind == "histosys":
                up = np.asarray(m["data"]["hi_data"]) - nominal
                down = nominal - np.asarray(m["data"]["lo_data"])
                shapes[index] = (0.5 * (up + down), 0.0625 * (up - down))
            elif kind == "staterror" and name in closed:
                gamma = name
            else:
                local.add(name)
        slot = _Slot([sample["name"]], nominal, shapes, frozenset(linear), frozenset(normsys), frozenset(local), gamma)
        key = (slot.linear, slot.normsys, slot.local, slot.gamma) if merge else sample["name"]
        merged[key] = _add(merged[key], slot) if key in merged else slot
    return sorted(merged.values(), key=lambda s: not s.local)


def _add(a: _Slot, b: _Slot) -> _Slot:
    zero = np.zeros_like(a.nominal)
    shapes = {
        p: tuple(x + y for x, y in zip(a.shapes.get(p, (zero, zero)), b.shapes.get(p, (zero, zero)), strict=True))
        for p in {*a.shapes, *b.shapes}
    }
    return a._replace(names=a.names + b.names, nominal=a.nominal + b.nominal, shapes=shapes)


def _component_indices(spec: Spec, closed: set[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return, for each binned parameter set, pyhf's parameter index in each bin of the data, -1 where it does not act."""
    local: dict[str, np.ndarray] = {}
    gamma: dict[str, np.ndarray] = {}
    touched: dict[tuple[str, str], np.ndarray] = {}
    for channel in spec.channels:
        part = spec.slices[channel["name"]]
        for sample in channel["samples"]:
            for m in _modifiers(sample):
                if m["type"] in ("staterror", "shapefactor", "shapesys"):
                    touched.setdefault((m["type"], m["name"]), np.zeros(spec.n_bins, dtype=bool))[part] = True
    first = {b: part.start for part in spec.slices.values() for b in range(part.start, part.stop)}
    for (kind, name), mask in touched.items():
        index = np.full(spec.n_bins, -1)
        start = spec.parameters.sets[name].start
        bins = np.flatnonzero(mask)
        # pyhf counts a shapefactor's components in each channel anew, those of the others through all channels
        index[bins] = start + (
            bins - np.array([first[b] for b in bins.tolist()]) if kind == "shapefactor" else np.arange(len(bins))
        )
        (gamma if kind == "staterror" and name in closed else local)[name] = index
    return local, gamma


def _blocks(P: int, components: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group the local parameters that share bins.

    Returns:
        block_pars (N + 1, L), block_bins (N, B), bin_block (P,) of `Layout`.
    """
    pairs = [(b, int(p)) for index in components.values() for b, p in enumerate(index) if p >= 0]
    if not pairs:
        return np.full((1, 0), -1), np.zeros((0, 1), dtype=int), np.zeros(P + 1, dtype=int)
    bins, pars = np.array(pairs).T
    size = P + int(pars.max()) + 1
    _, label = connected_components(
        coo_array((np.ones(len(bins)), (bins, P + pars)), shape=(size, size)), directed=False
    )
    blocks = list(dict.fromkeys(label[np.sort(np.unique(bins))].tolist()))
    members = [np.unique(pars[label[bins] == b]) for b in blocks]
    where = [np.unique(bins[label[bins] == b]) for b in blocks]
    N = len(blocks)
    block_pars = np.full((N + 1, max(map(len, members))), -1)
    block_bins = np.full((N, max(map(len, where))), P)
    bin_block = np.full(P + 1, N)
    for n, (m, w) in enumerate(zip(members, where, strict=True)):
        block_pars[n, : len(m)] = m
        block_bins[n, : len(w)] = w
        bin_block[w] = n
    return block_pars, block_bins, bin_block
