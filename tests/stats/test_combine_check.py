"""What Combine should give: the model that stands for it, the table and the script. Combine itself runs nowhere here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
import pytest
from helpers.small_fit import make_analysis, make_histograms
from scipy.optimize import minimize

from oddjets.stats.combine_check import like_combine, write_check
from oddjets.stats.summary import fit_workspace
from oddjets.stats.workspace import build


@pytest.fixture(scope="module")
def workspace() -> dict[str, Any]:
    return json.loads(json.dumps(build(make_analysis(), make_histograms())[0]))


def yields(workspace: dict[str, Any], **values: float) -> np.ndarray:
    """Pyhf's expectation of all bins, at the start values but for some parameters."""
    model = pyhf.Workspace(workspace).model(
        modifier_settings={"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
    )
    point = np.array(model.config.suggested_init(), dtype=float)
    for name, value in values.items():
        point[model.config.par_slice(name)] = value
    return np.asarray(model.expected_actualdata(point))


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_shapes_split_as_in_combine_give_the_templates_at_one_sigma(workspace: dict[str, Any], value: float) -> None:
    name = next(
        m["name"] for s in workspace["channels"][0]["samples"] for m in s["modifiers"] if m["type"] == "histosys"
    )
    np.testing.assert_allclose(
        yields(like_combine(workspace), **{name: value}), yields(workspace, **{name: value}), rtol=1e-9
    )


def test_normalisations_multiply_as_in_combine() -> None:
    # two variations of the normalisation alone: log-normals multiply, and HistFactory's yields add
    two = pyhf_counting({"a": (1.2, 1 / 1.2), "b": (1.3, 1 / 1.3)})
    assert yields(two, a=1.0, b=1.0)[0] == pytest.approx(100 * (1 + 0.2 + 0.3))
    assert yields(like_combine(two), a=1.0, b=1.0)[0] == pytest.approx(100 * 1.2 * 1.3)


def pyhf_counting(sides: dict[str, tuple[float, float]]) -> dict[str, Any]:
    modifiers: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}]
    modifiers += [
        {"name": name, "type": "histosys", "data": {"hi_data": [100 * hi], "lo_data": [100 * lo]}}
        for name, (hi, lo) in sides.items()
    ]
    return {
        "channels": [{"name": "c", "samples": [{"name": "s", "data": [100.0], "modifiers": modifiers}]}],
        "observations": [{"name": "c", "data": [110.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def test_errors_of_each_process_act_as_the_quadratic_sum_of_combine() -> None:
    signal, background, errors, counted = 20.0, 50.0, (6.0, 9.0), 95.0

    def deviance(rate: float) -> float:
        return float(2 * (rate - counted + counted * np.log(counted / rate)))

    for strength in (0.5, 1.0, 2.0):
        apart = minimize(
            lambda x, k=strength: deviance(k * (signal + errors[0] * x[0]) + background + errors[1] * x[1]) + x @ x,
            [0, 0],
        )
        total = np.hypot(strength * errors[0], errors[1])
        together = minimize(lambda x, k=strength, s=total: deviance(k * signal + background + s * x[0]) + x @ x, [0])
        assert apart.fun == pytest.approx(together.fun, rel=1e-6)


def test_each_process_has_errors_of_its_own(workspace: dict[str, Any]) -> None:
    names = [
        (channel["name"], modifier["name"])
        for channel in like_combine(workspace)["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        if modifier["type"] == "staterror"
    ]
    assert len(names) == len(set(names)) > 0


@pytest.fixture(scope="module")
def files(workspace: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("check")
    made = write_check(workspace, folder, gof_model="background", gof_toys=50, seed=7)
    return {file.name: file for file in made}


def test_our_column_is_the_fit_of_the_workspace(workspace: dict[str, Any], files: dict[str, Path]) -> None:
    numbers = json.loads(files["combine_expected.json"].read_text())["numbers"]
    found = {(one["method"], one["quantity"]): one for one in numbers}
    results = fit_workspace(workspace, impacts=False, scan=False, progress=False)
    assert found["FitDiagnostics", "Best fit r"]["here"] == results["poi"]["value"]
    assert found["Significance", "Significance, observed"]["here"] == results["significance"]["z"]
    assert found["AsymptoticLimits", "Expected 50.0%"]["here"] == results["limit"]["expected"][2]
    # with the constraint terms, as Combine has it
    gof = found["GoodnessOfFit", "Best fit test statistic"]
    assert gof["here"] == results["convergence"]["background"]["deviance"]
    assert gof["difference"] == gof["like_combine"] - gof["here"]


def test_the_table_says_that_combine_was_not_run(files: dict[str, Path]) -> None:
    assert "**Combine was not run.**" in files["combine_expected.md"].read_text()
    content = json.loads(files["combine_expected.json"].read_text())
    assert content["combine_was_run"] is False
    assert {one["method"] for one in content["numbers"]} == {
        *("FitDiagnostics", "Significance", "AsymptoticLimits", "GoodnessOfFit")
    }


def test_limits_above_the_range_of_the_script_are_named(workspace: dict[str, Any], tmp_path: Path) -> None:
    narrow = json.loads(json.dumps(workspace))
    config = narrow["measurements"][0]["config"]
    (mine,) = (p for p in config["parameters"] if p["name"] == config["poi"])
    median = fit_workspace(workspace, impacts=False, scan=False, progress=False)["limit"]["expected"][2]
    for high, there in ((median * 0.9, True), (1e4, False)):
        mine["bounds"], mine["inits"] = [[0.0, high]], [high / 2]
        write_check(narrow, tmp_path)
        assert ("where Combine stops" in (tmp_path / "combine_expected.md").read_text()) is there


def fake(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def run_script(files: dict[str, Path], folder: Path) -> subprocess.CompletedProcess[str]:
    for name in ("datacard.txt", "shapes.root"):
        (files["combine.sh"].parent / name).write_text("card")
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "TMPDIR": str(folder)}
    return subprocess.run(
        ["bash", str(files["combine.sh"])], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_script_asks_for_every_method_in_order(files: dict[str, Path], tmp_path: Path) -> None:
    # programs that only say how they were called
    for name in ("combine", "text2workspace.py"):
        fake(tmp_path, name, 'echo "called $*"')
    said = run_script(files, tmp_path)
    assert said.returncode == 0, said.stderr
    steps = [
        line.removeprefix("=== ").split(" workspace.root")[0] for line in said.stdout.splitlines() if "===" in line
    ]
    assert steps == [
        "text2workspace.py datacard.txt -o",
        *("combine -M FitDiagnostics", "combine -M Significance", "combine -M Significance"),
        *("combine -M AsymptoticLimits", "combine -M GoodnessOfFit", "combine -M GoodnessOfFit"),
    ]
    assert said.stdout.count("--fixedSignalStrength=0") == 4  # of the step and of the call, without toys and with
    assert "-t 50 -s 7 --toysFrequentist" in said.stdout


def test_without_combine_the_container_is_asked(files: dict[str, Path], tmp_path: Path) -> None:
    fake(tmp_path, "docker", 'echo "$*"; cat; echo "Best fit r: 1.3"; echo chatter')
    said = run_script(files, tmp_path)
    assert said.returncode == 0, said.stderr
    folder = files["combine.sh"].parent
    assert f"--volume {folder}:/card:ro gitlab-registry.cern.ch/cms-cloud/combine-standalone:v9.2.1" in said.stdout
    assert "cd /card && bash ./combine.sh" in said.stdout
    assert (folder / "combine_results.txt").read_text() == "Best fit r: 1.3\n"


def test_without_a_container_either_it_says_so(files: dict[str, Path], tmp_path: Path) -> None:
    if any(os.access(f"/usr/bin/{name}", os.X_OK) for name in ("docker", "podman", "combine")):
        pytest.skip("a container can be run here")
    said = run_script(files, tmp_path)
    assert said.returncode == 1
    assert "neither combine nor docker or podman is here" in said.stderr
