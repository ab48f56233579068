"""Jet systematics: the built-in ones, and the columns of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections import jet_energy, jet_resolution, lookups
from oddjets.corrections.systematics import Variation
from oddjets.io import nanoaod_schema
from oddjets.io.event_table import JETS
from oddjets.selection import objects
from oddjets.selection.decorators import jet_variation

__all__ = ["JetVariations"]

Array = npt.NDArray[Any]


class JetVariations:
    """Built-in jet systematics; a processor inherits them.

    Attributes:
        analysis: what was asked.
        era: its corrections.
        era_folder: where the era's relative paths start.
    """

    analysis: Analysis
    era: lookups.Era
    era_folder: Path

    @jet_variation
    def jes(self, jets: Mapping[str, Array], sign: int) -> tuple[Array, Array]:
        """Vary the jet energy scale: pT and soft-drop mass move together by the era's total uncertainty."""
        spec = self.era.corrections.get("jes")
        if spec is None:
            raise OddjetsError(f"era '{self.era.name}' has no correction 'jes'; {nearest('jes', self.era.corrections)}")
        scale = 1.0 + sign * lookups.lookup(self.era, self.era_folder, spec, jets, None)
        return jets["pt"] * scale, jets["mass"] * scale

    @jet_variation
    def jer(self, jets: Mapping[str, Array], sign: int) -> tuple[Array, Array]:
        """Vary the jet energy resolution: smeared again with the scale factor moved by its uncertainty."""
        direction = "Up" if sign > 0 else "Down"
        return jets[f"pt_jer{direction}"], jets[f"mass_jer{direction}"]

    @jet_variation
    def jms(self, jets: Mapping[str, Array], sign: int) -> tuple[Array, Array]:
        """Vary the jet mass scale."""
        size = self._size("jms", self.era.jet_mass_scale)
        return jets["pt"], jet_resolution.mass_scale(jets["mass"], sign, size)

    @jet_variation
    def jmr(self, jets: Mapping[str, Array], sign: int) -> tuple[Array, Array]:
        """Vary the jet mass resolution."""
        size = self._size("jmr", self.era.jet_mass_resolution)
        keys = jets["run"][:, 0], jets["luminosityBlock"][:, 0], jets["event"][:, 0]
        noise = np.stack([jet_resolution.standard_normal(*keys, j, "jmr") for j in JETS], axis=1)
        return jets["pt"], jet_resolution.mass_resolution(jets["mass"], jets["gen_mass"], sign, size, noise)

    def calibrated_jets(self, events: Any, smearing_direction: str | None = None) -> Any:
        """Return the AK8 jets after the analysis's ``jet_corrections``; see `jet_energy.calibrated_jets`."""
        return jet_energy.calibrated_jets(
            events,
            self.era,
            self.era_folder,
            self.analysis.jet_corrections,
            is_data=bool(events.metadata["is_data"]),
            official_smearing=self.analysis.jer == "official",
            smearing_direction=smearing_direction,
        )

    def _size(self, name: str, default: float) -> float:
        spec = next((s for s in self.analysis.systematics if s.name == name), None)
        return spec.size if spec is not None and spec.size is not None else default

    def _varied_jets(
        self,
        columns: Mapping[str, Array],
        events: Any,
        rows: npt.NDArray[np.int64],
        pair: npt.NDArray[np.int64],
        variations: list[Variation],
    ) -> dict[str, Array]:
        if not variations:
            return {}
        jets: dict[str, Array] = {
            stem[:-2]: np.stack([columns[f"{stem[:-2]}_{j}"] for j in JETS], axis=1).astype(np.float64)
            for stem in columns
            if stem.endswith("_1") and f"{stem[:-2]}_2" in columns
        }
        jets |= {name: np.repeat(columns[name][:, None], 2, axis=1) for name in ("run", "luminosityBlock", "event")}
        jets["gen_mass"] = self._gen_mass(events, rows, pair)
        for direction in {v.direction for v in variations if v.systematic == "jer"}:
            smeared = self.calibrated_jets(events, smearing_direction=direction)[rows]
            jets[f"pt_jer{direction}"] = objects.take_pair(smeared["pt"], pair)
            jets[f"mass_jer{direction}"] = np.maximum(objects.take_pair(smeared["msoftdrop"], pair), 0.0)
        varied: dict[str, Array] = {}
        for variation in variations:
            pt, mass = self._varied(variation, jets)
            for j in JETS:
                varied[f"pt_{j}__{variation.name}"] = pt[:, j - 1]
                varied[f"mass_{j}__{variation.name}"] = mass[:, j - 1]
        return varied

    def _varied(self, variation: Variation, jets: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return varied pT and soft-drop mass: by the method of the systematic's name, or by a source of the energy scale."""
        sources = self.era.jes_sources.systematics if self.analysis.jes == "sources" and self.era.jes_sources else {}
        if (spec := sources.get(variation.systematic)) is None:
            pt, mass = getattr(self, variation.systematic)(jets, variation.sign)
            return pt, mass
        scale = 1.0 + variation.sign * lookups.lookup(self.era, self.era_folder, spec, jets, None)
        return jets["pt"] * scale, jets["mass"] * scale

    def _links_to_no_generator_jet(self, events: Any, rows: npt.NDArray[np.int64], pair: npt.NDArray[np.int64]) -> int:
        """Count the jets of the pair whose index of a generator jet is none of their event's."""
        if not len(rows) or not nanoaod_schema.has(events, ["FatJet_genJetAK8Idx", "GenJetAK8_eta"]):
            return 0
        index = _generator_jets(events, rows, pair)
        return int(np.count_nonzero(objects.out_of_range(index, events.GenJetAK8.eta[rows])))

    def _gen_mass(self, events: Any, rows: npt.NDArray[np.int64], pair: npt.NDArray[np.int64]) -> Array:
        """Return the groomed mass of the matched generator jets, GeV; NaN where there is no match."""
        needed = ["FatJet_genJetAK8Idx", "GenJetAK8_eta", "GenJetAK8_phi", "SubGenJetAK8_pt"]
        if not len(rows) or not nanoaod_schema.has(events, needed):
            return np.full(pair.shape, np.nan)
        matched = _generator_jets(events, rows, pair)
        gen, subjets = events.GenJetAK8[rows], events.SubGenJetAK8[rows]
        axes = [objects.take_pair(gen[k], matched) for k in ("eta", "phi")]
        flat = {k: nanoaod_schema.flatten(subjets[k]) for k in ("pt", "eta", "phi", "mass")}
        return jet_resolution.groomed_gen_mass(axes[0], axes[1], flat, nanoaod_schema.offsets_of(subjets.pt))


def _generator_jets(events: Any, rows: npt.NDArray[np.int64], pair: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the stored place of each jet's generator jet; -1 where there is none."""
    index = nanoaod_schema.indices(events, "FatJet", "genJetAK8Idx")
    return objects.take_pair(index[rows], pair, missing=-1).astype(np.int64)
