"""Names of the branches of AK8 taggers, which differ between versions of NanoAOD."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from oddjets.config.yaml import StrictModel

__all__ = ["DEEP_CSV", "TAGGER_BRANCHES", "TaggerNames"]

#: the branch that the default working point is of
DEEP_CSV = "btagDeepB"

_PARTICLE_NET = ("Xbb", "Xqq", "Xcc", "QCD")


def _names(btag: str | None, prefix: str) -> dict[str, str | None]:
    return {"btag": btag, **{name.lower(): f"{prefix}_{name}" for name in _PARTICLE_NET}}


#: version of NanoAOD -> tagger -> branch of FatJet; None: no branch. v9 has DeepCSV and the mass-decorrelated ParticleNet of
#: Run 2, which v12 calls legacy; v15 has no DeepCSV, and adds the Global Particle Transformer (CMSSW, ``jetsAK8_cff``)
TAGGER_BRANCHES: dict[str, dict[str, str | None]] = {
    "v9": _names(DEEP_CSV, "particleNetMD"),
    "v12": _names(DEEP_CSV, "particleNetLegacy"),
    "v15": _names(None, "globalParT3"),
}


class TaggerNames(StrictModel):
    """FatJet branches of the b tag and of ParticleNet, which differ between versions of NanoAOD."""

    names: Literal["v9", "v12", "v15"] = Field(default="v9", description="version of NanoAOD whose branches are used")
    btag: str | None = Field(default=None, description="branch of the b tag; not given: that of the version")
    xbb: str | None = Field(default=None, description="branch of X to bb; not given: that of the version")
    xqq: str | None = Field(default=None, description="branch of X to light quarks; not given: that of the version")
    xcc: str | None = Field(default=None, description="branch of X to cc; not given: that of the version")
    qcd: str | None = Field(default=None, description="branch of QCD jets; not given: that of the version")

    def branch(self, tagger: str) -> str | None:
        """Return the branch of a tagger (``btag``, ``xbb``, ``xqq``, ``xcc``, ``qcd``); None where there is none.

        Args:
            tagger: one of these; any other name is taken as a branch's own.
        """
        if tagger not in TAGGER_BRANCHES[self.names]:
            return tagger
        chosen: str | None = getattr(self, tagger)
        return TAGGER_BRANCHES[self.names][tagger] if chosen is None else chosen.removeprefix("FatJet_")

    def require_deep_csv(self) -> None:
        """Refuse another b tag where no working point is given: the default is that of DeepCSV."""
        branch = self.branch("btag")
        if branch not in (None, DEEP_CSV):
            raise ValueError(
                f"'btag_min' is the working point of {DEEP_CSV}, and 'taggers' names {branch}: give the working point of that"
            )
