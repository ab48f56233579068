"""What is offered where a file is not there: names that can be meant, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from oddjets.config.analysis import find_analysis
from oddjets.config.yaml import ConfigError, read_yaml
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest_file
from oddjets.workflow.clean import orphans
from oddjets.workflow.output_folder import FILE, folders_beside


def test_a_shared_ending_makes_no_file_near() -> None:
    files = ["demo_small.yaml", "mkdocs.yml", "out/demo.yaml"]
    assert nearest_file("demo_smal.yaml", files) == "did you mean 'demo_small.yaml' or 'out/demo.yaml'?"
    assert nearest_file("xyz.yaml", files, or_all=False) == ""
    assert nearest_file("xyz.yaml", files) == "valid names: demo_small.yaml, mkdocs.yml, out/demo.yaml"
    assert nearest_file("xyz.yaml", []) == ""


@pytest.mark.parametrize(
    ("name", "kind", "suffixes", "offered"),
    [
        ("dijet_anomali.py", "processors", ("",), "did you mean 'dijet_anomaly.py'?"),
        ("xyz.py", "processors", ("",), "valid names: dijet_anomaly.py, minimal.py, trigger_efficiency.py"),
        ("banc.parquet", "datasets", ("",), "did you mean 'bank.parquet'?"),
        ("xyz.parquet", "datasets", ("",), "valid names: bank.parquet"),
        ("xyz", "datasets", (".yaml",), "valid names: 2016UL, aspen"),
        ("xyz", "corrections", (".yaml",), "valid names: 2016UL, 2016postVFP, 2016preVFP, 2017, 2018, simulation"),
        (
            "omnilearned_small_simulatio.onnx",
            "models",
            ("", ".yaml"),
            (
                "did you mean 'omnilearned_small_simulation.yaml' or 'omnilearned_small_simulation_gpu.yaml'"
                " or 'omnilearned_small_reduced_5.yaml'?"
            ),
        ),
    ],
)
def test_only_files_that_can_be_meant_are_offered(
    name: str, kind: str, suffixes: tuple[str, ...], offered: str, tmp_path: Path
) -> None:
    for beside, where in (
        (None, f"here or in the package's {kind}/"),
        (tmp_path, f"in {kind}/ or beside the analysis"),
    ):
        with pytest.raises(InputFileError) as error:
            resources.find(name, kind, beside, suffixes)
        assert str(error.value) == f"no file '{name}' {where}; {offered}"


def test_a_misspelt_analysis_is_offered_as_it_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mkdocs.yml").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "demo_smell.yaml").touch()
    for name, offered in [
        ("demo_smal.yaml", "did you mean 'demo_small.yaml' or 'demo.yaml'?"),
        ("demo_smal", "did you mean 'demo_small' or 'demo'?"),
        ("mine/demo_smel.yaml", "did you mean 'mine/demo_smell.yaml' or 'demo_small.yaml' or 'demo.yaml'?"),
    ]:
        with pytest.raises(InputFileError) as error:
            find_analysis(name)
        said = f"no analysis '{name}': there is no such file, and no analysis of this name in the package; {offered}"
        assert str(error.value) == said


def test_an_output_folder_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output" / "first_try").mkdir(parents=True)
    (tmp_path / "output" / "first_try" / FILE).touch()
    for name, offered in [
        ("output/first_tr", "did you mean 'output/first_try'?"),
        ("output/nothing", "the package has aspen_abcd, aspen_bump, cms_2016, demo, demo_small, "),
    ]:
        with pytest.raises(InputFileError) as error:
            find_analysis(name, folders_beside(Path(name)))
        said = (
            f"no analysis or output folder '{name}': there is no such file or folder, and no analysis of this name in"
        )
        assert str(error.value).startswith(f"{said} the package; {offered}")
        assert ".py" not in str(error.value)


def test_a_yaml_that_is_not_there_offers_near_ones_alone(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").touch()
    with pytest.raises(ConfigError, match=r"demo_smal\.yaml: no such file$"):
        read_yaml(tmp_path / "demo_smal.yaml")
    (tmp_path / "demo_small.yml").touch()
    with pytest.raises(ConfigError, match=r"demo_smal\.yaml: no such file; did you mean 'demo_small\.yml'\?$"):
        read_yaml(tmp_path / "demo_smal.yaml")


def test_a_folder_to_clean_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OddjetsError, match=r"nothing: no such folder$"):
        orphans(tmp_path / "nothing")
