"""Checks of the input: trigger paths, layouts of files, and what they lack."""

from __future__ import annotations

from oddjets.report.artifacts import Artifacts
from oddjets.report.health_line import HealthCheck, Status
from oddjets.report.modelled import not_simulated
from oddjets.report.text import count, name_some
from oddjets.selection.input_anomalies import DESCRIPTIONS, STALE_SHARE

__all__ = ["input_checks"]


def input_checks(artifacts: Artifacts) -> list[HealthCheck]:
    """Return what the stage `process` found odd in the files; no line where all is as it should be.

    Args:
        artifacts: of the output directory.
    """
    return [
        *_absent_triggers(artifacts),
        *_partly_absent_triggers(artifacts),
        *_layouts(artifacts),
        *_substitutes(artifacts),
        *_stale_weights(artifacts),
        *_given_sums(artifacts),
        *_lacking(artifacts),
        *_not_modelled(artifacts),
    ]


def _not_modelled(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about processes without simulation, which are in no stack and in no fit; none where there are none."""
    absent = not_simulated(artifacts)
    if not absent:
        return []
    labels = ", ".join(artifacts.process(name)["label"] for name in absent)
    note = "there is no simulation, so that what of it is in A counts as excess"
    return [HealthCheck("Not modelled", "watch", labels, note, "manifests/process.json", "extra.datasets")]


def _lacking(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about what imported files of single jets lack, and how many of the published ones were read."""
    found = artifacts.processed("jets")
    if not found:
        return []
    files = found["published_files"]
    share = 100 * files["jets"] / files["jets_listed"]
    luminosity = f"; {artifacts.luminosity_pb:.6g} /pb" if artifacts.luminosity_pb else ""
    part = (
        f"{files['there']} of the {files['listed']} published files were read, with {share:.3g} % of the"
        f" {count(files['jets_listed'])} published jets{luminosity}; "
        if files["there"]
        else ""
    )
    # results of before this was looked at do not have it
    if small := files.get("small", ()):
        part += (
            f"{count(len(small))} of them have less than a tenth of the jets of a published file ({', '.join(small[:3])}),"
            " but count as whole files in the luminosity; "
        )
    if others := files["read"] - files["there"]:
        made = ", and say that they are simulated" if files["simulated"] else ""
        part += f"files without a published name: {count(others)}{made}; "
    flow = ", ".join(
        f"{cut.replace('_', ' ')} {count(n)}" for cut, n in zip(found["cuts"][1:], found["raw"][1:], strict=True)
    )
    part = f"{flow}; {part}"
    place = ("manifests/process.json", "extra.jets")
    note = f"{part}the files lack {'; '.join(found['lacking'])}"
    return [HealthCheck("Single jets", "watch", f"{count(found['entries'])} read", note, *place)]


def _absent_triggers(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about trigger paths that no file of a dataset has; none where there are no such paths."""
    lacking: dict[str, list[str]] = {}
    for name, dataset in artifacts.datasets.items():
        for path in dataset.get("absent_triggers", ()):
            lacking.setdefault(f"HLT_{path}", []).append(name)
    if not lacking:
        return []
    everywhere = [path for path, names in lacking.items() if len(names) == len(artifacts.datasets)]
    note = "; ".join(
        f"{path} in no file of {'any dataset' if path in everywhere else name_some(names)}"
        for path, names in lacking.items()
    )
    status: Status = "bad" if everywhere else "watch"
    place = ("manifests/process.json", "extra.datasets.*.absent_triggers")
    return [
        HealthCheck("Trigger paths", status, f"{count(len(lacking))} absent", f"counted as not fired: {note}", *place)
    ]


def _partly_absent_triggers(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about trigger paths that some files of a dataset lack; none where there are no such paths."""
    found = {name: dataset.get("partly_absent_triggers") or {} for name, dataset in artifacts.datasets.items()}
    paths = {path for partly in found.values() for path in partly}
    if not paths:
        return []
    of_data = any(partly and artifacts.datasets[name]["is_data"] for name, partly in found.items())
    parts = (f"HLT_{path} in {part} files of {name}" for name, partly in found.items() for path, part in partly.items())
    place = ("manifests/process.json", "extra.datasets.*.partly_absent_triggers")
    note = f"menus change from run to run; elsewhere counted as not fired: {'; '.join(parts)}"
    status: Status = "watch" if of_data else "good"
    return [HealthCheck("Trigger menus", status, f"{count(len(paths))} in some files only", note, *place)]


def _layouts(artifacts: Artifacts) -> list[HealthCheck]:
    """Datasets with files of several layouts of PF candidates, whose scores may differ by what one of them lacks."""
    several = {
        name: dataset["layouts"]
        for name, dataset in artifacts.datasets.items()
        if len(dataset.get("layouts") or ()) > 1
    }
    if not several:
        return []
    parts = (
        f"{name}: {', '.join(str(entry['files']) + ' ' + layout for layout, entry in found.items())}"
        for name, found in several.items()
    )
    place = ("manifests/process.json", "extra.datasets.*.layouts")
    note = f"scores may differ by what a layout lacks: {'; '.join(parts)}"
    return [HealthCheck("Layouts of files", "watch", f"several in {name_some(list(several))}", note, *place)]


def _substitutes(artifacts: Artifacts) -> list[HealthCheck]:
    """Quantities that no branch had, and what was taken instead."""
    names = ("impact_parameters_not_stored", "charges_not_stored", "charges_not_known", "jet_ids_not_stored")
    found = {name: _counted(artifacts, name) for name in names}
    found = {name: by_dataset for name, by_dataset in found.items() if by_dataset}
    if not found:
        return []
    note = "; ".join(
        f"{count(sum(by_dataset.values()))} {DESCRIPTIONS[name]} ({name_some(list(by_dataset))})"
        for name, by_dataset in found.items()
    )
    place = ("manifests/process.json", "extra.datasets.*.input_anomalies")
    status: Status = "watch" if {"impact_parameters_not_stored", "charges_not_known"} & found.keys() else "good"
    return [HealthCheck("Branches replaced", status, f"{count(len(found))} kinds", note, *place)]


def _stale_weights(artifacts: Artifacts) -> list[HealthCheck]:
    """Jets whose constituents add up to another pT: candidates with PUPPI weights of another version."""
    found = _counted(artifacts, "jets_unlike_constituents")
    if not found:
        return []
    shares = {name: number / (2 * artifacts.datasets[name]["rows"]) for name, number in found.items()}
    stale = [name for name, share in shares.items() if share > STALE_SHARE]
    place = ("manifests/process.json", "extra.datasets.*.input_anomalies.jets_unlike_constituents")
    note = "; ".join(f"{100 * share:.3g} % of the jets of {name}" for name, share in shares.items())
    reason = ": stale weights of NanoAODv15 made again before October 2025; scores are wrong" if stale else ""
    status: Status = "bad" if stale else "watch"
    return [
        HealthCheck(
            "PUPPI weights", status, f"{count(sum(found.values()))} jets do not add up", f"{note}{reason}", *place
        )
    ]


def _given_sums(artifacts: Artifacts) -> list[HealthCheck]:
    """Datasets whose sum of generator weights is that of the fileset, since the files have none."""
    given = [name for name, found in artifacts.datasets.items() if found.get("sum_of_weights_from") == "metadata"]
    if not given:
        return []
    place = ("manifests/process.json", "extra.datasets.*.sum_of_weights_from")
    note = f"the files of {name_some(given)} have none, and nothing checks it"
    return [HealthCheck("Sums of weights", "watch", "from the fileset's metadata", note, *place)]


def _counted(artifacts: Artifacts, name: str) -> dict[str, int]:
    """Return dataset to how often something was counted, where it was."""
    return {
        dataset: found["input_anomalies"][name]
        for dataset, found in artifacts.datasets.items()
        if (found.get("input_anomalies") or {}).get(name)
    }
