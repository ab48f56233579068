"""A workspace as the field publishes it: its background, and a patch set that adds the signal."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyhf

from oddjets.core.errors import OddjetsError

__all__ = ["NO_RECORD", "PublishedLikelihood", "split_signal"]

#: stands for the number of the record at INSPIRE, which pyhf's schema wants and nobody knows before the record is there
NO_RECORD = "ins0000000"


class PublishedLikelihood(NamedTuple):
    """A workspace in two parts.

    Attributes:
        background: the workspace without the samples that a strength scales, and without a parameter of interest.
        patch_set: pyhf's patch set with one patch, which gives the whole workspace again.
        name: of this patch.
    """

    background: dict[str, Any]
    patch_set: dict[str, Any]
    name: str


def split_signal(workspace: Mapping[str, Any], strengths: Mapping[str, str]) -> PublishedLikelihood:
    """Divide a workspace into its background and a patch that adds the signal.

    The patch puts every sample back where it was, so that the patched workspace is the same in every digit and in the order of
    its samples.

    Args:
        workspace: of `workspace.build`.
        strengths: name of a parameter of interest -> process that it scales.

    Raises:
        OddjetsError: a channel has no background at all.
    """
    background: dict[str, Any] = copy.deepcopy(dict(workspace))
    operations: list[dict[str, Any]] = []
    for c, channel in enumerate(background["channels"]):
        kept = []
        for s, sample in enumerate(channel["samples"]):
            if any(m["type"] == "normfactor" and m["name"] in strengths for m in sample["modifiers"]):
                operations.append({"op": "add", "path": f"/channels/{c}/samples/{s}", "value": sample})
            else:
                kept.append(sample)
        if not kept:
            raise OddjetsError(
                f"channel '{channel['name']}': has nothing but the signal, so there is no background to publish"
            )
        channel["samples"] = kept
    for m, measurement in enumerate(background["measurements"]):
        config = measurement["config"]
        operations.append({"op": "replace", "path": f"/measurements/{m}/config/poi", "value": config["poi"]})
        config["poi"] = ""
        for p, parameter in enumerate(config["parameters"]):
            if parameter["name"] in strengths:
                operations.append({"op": "add", "path": f"/measurements/{m}/config/parameters/{p}", "value": parameter})
        config["parameters"] = [p for p in config["parameters"] if p["name"] not in strengths]
    processes = list(dict.fromkeys(strengths.values()))
    # pyhf's schema allows letters, digits and underscores
    name = re.sub(r"\W", "_", "_and_".join(processes), flags=re.ASCII)
    patch_set = {
        "metadata": {
            "name": name,
            "references": {"hepdata": NO_RECORD},
            "digests": {"sha256": pyhf.utils.digest(background)},
            "labels": ["signal"],
            "description": f"adds {', '.join(processes)} to background_only.json, scaled by {', '.join(strengths)}",
        },
        "patches": [{"metadata": {"name": name, "values": [name]}, "patch": operations}],
        "version": "1.0.0",
    }
    return PublishedLikelihood(background, patch_set, name)
