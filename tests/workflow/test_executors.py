"""The same rows whoever works on the chunks; clear words where nobody can. Dask has a module of its own."""

import importlib.metadata
import os
import subprocess
import sys

import pytest
from helpers import toy_analysis as toy
from helpers.analyses import of_simulation
from helpers.runs import processed
from pydantic import ValidationError

from oddjets.config.analysis import load_analysis
from oddjets.config.execution import Execution
from oddjets.core import resources
from oddjets.core.errors import OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.workflow.executors import gpus, import_path, local
from oddjets.workflow.overrides import with_execution
from oddjets.workflow.pipeline import run_stages
from oddjets.workflow.run import RunContext


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy.files(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The rows of a run in one process, a chunk a file."""
    file = toy.write(tmp_path_factory.mktemp("whole"), inputs)
    return toy.rows(toy.process(toy.run_of(file, chunk_size=1000)))


@pytest.mark.parametrize(
    "execution",
    [
        {"executor": "iterative", "chunk_size": 13},
        pytest.param({"executor": "futures", "workers": 2, "chunk_size": 7}, marks=pytest.mark.slow),
        {"executor": "coffea.processor:IterativeExecutor"},
        pytest.param({"executor": "coffea.processor:FuturesExecutor", "workers": 2}, marks=pytest.mark.slow),
    ],
    ids=["iterative", "futures", "coffea-iterative", "coffea-futures"],
)
def test_rows_do_not_depend_on_the_executor(inputs, whole, tmp_path, execution):
    toy.assert_same_rows(toy.rows(toy.process(toy.run_of(toy.write(tmp_path, inputs), **execution))), whole)


def test_an_executor_that_forgets_a_chunk_is_found_out_and_the_others_are_kept(inputs, whole, tmp_path):
    file = toy.write(tmp_path, inputs)
    with pytest.raises(OddjetsError, match=r"Forgetful gave no answer for 1 chunks.*6 of 7 chunks are kept"):
        toy.process(toy.run_of(file, executor="helpers.odd_executors:Forgetful"))
    run = toy.process(toy.run_of(file))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] == 6
    toy.assert_same_rows(toy.rows(run), whole)


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"executor": "helpers.odd_executors:Failing"}, "Failing failed: RuntimeError: no workers; 0 of 7 chunks"),
        ({"executor": "helpers.odd_executors:Failing", "executor_options": {"message": "all busy"}}, "all busy"),
        (
            {"executor": "helpers.odd_executors:Failing", "executor_options": {"mesage": "x"}},
            r"Failing\(mesage='x'\) failed",
        ),
        ({"executor": "helpers.odd_executors:Forgetfull"}, "has no class 'Forgetfull'; did you mean 'Forgetful'"),
        (
            {"executor": "no_such_package.run:Executor"},
            "needs the package 'no_such_package', which is not installed: pip",
        ),
    ],
)
def test_an_executor_class_that_cannot_work_is_said(inputs, tmp_path, execution, message):
    with pytest.raises(OddjetsError, match=message):
        toy.process(toy.run_of(toy.write(tmp_path, inputs), **execution))


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"executor": "dask"}, r"'dask'.*needs the package 'distributed'.*pip install 'oddjets\[dask\]'"),
        ({"executor": "no_such_package.run:Executor"}, "needs the package 'no_such_package', which is not installed"),
    ],
)
def test_what_is_not_installed_is_said_before_anything_is_simulated(tmp_path, monkeypatch, execution, message):
    monkeypatch.setitem(sys.modules, "distributed", None)
    analysis = load_analysis(resources.find("demo_small.yaml", "processors"))
    run = RunContext(with_execution(analysis, **execution), tmp_path / "out")
    with pytest.raises(OddjetsError, match=message):
        run_stages(run)
    assert not (run.out / "simulation").exists()


def test_that_no_onnx_runtime_is_installed_is_said_before_anything_is_simulated(tmp_path, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    run = RunContext(load_analysis(resources.find("demo_small.yaml", "processors")), tmp_path / "out")
    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(OddjetsError, match=r"need ONNX Runtime, and none is installed: pip install 'oddjets\[cpu\]'"):
        run_stages(run)
    assert not (run.out / "simulation").exists()


def test_secrets_of_a_cluster_are_not_in_the_message_that_it_failed():
    def make(**options):
        raise ValueError("no such queue")

    options = {"queue": "q", "password": "S3CRET", "auth": "S3CRET", "options": {"api_token": "S3CRET"}}
    with pytest.raises(OddjetsError, match=r"make\(queue='q', password=\*\*\*, auth=\*\*\*, options=\.\.\.\) failed"):
        import_path.instantiate(make, options, "execution.cluster.options")


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ({"executor": "dsk"}, "did you mean 'dask'"),
        ({"executor": "coffea.processor"}, "no class as in coffea.processor:FuturesExecutor; valid names: dask"),
        (
            {"executor": "dask", "scheduler": "localhost"},
            "'localhost' is not an address with a port, such as tcp://HOST:8786",
        ),
        ({"executor": "dask", "scheduler": "tcp://localhost"}, "'tcp://localhost' is not an address with a port"),
        ({"executor": "dask", "scheduler": "localhost:99999"}, "'localhost:99999' is not an address with a port"),
        ({"scheduler": "tcp://a:1"}, "'scheduler' needs the executor dask"),
        ({"executor": "dask", "scheduler": "tcp://a:1", "cluster": {}}, "not both"),
        ({"executor": "dask", "cluster": {"class": "HTCondorCluster"}}, "not a class with its module"),
        ({"executor": "dask", "cluster": {"adaptive": {"minimum": 3, "maximum": 2}}}, "minimum 3 is above maximum 2"),
        ({"executor": "futures", "executor_options": {"retries": 3}}, "futures takes none"),
        ({"shared_filesystem": False}, "needs the executor dask"),
    ],
)
def test_what_does_not_go_together_is_refused(execution, message):
    with pytest.raises(ValidationError, match=message):
        Execution.model_validate(execution)


def test_a_misspelt_key_of_the_cluster_is_named_as_the_yaml_has_it(inputs, tmp_path):
    with pytest.raises(OddjetsError, match=r"execution\.cluster\.clas: unknown key; did you mean 'class'"):
        load_analysis(toy.write(tmp_path, inputs, execution={"executor": "dask", "cluster": {"clas": "a.B"}}))


def test_options_are_laid_over_the_yaml(inputs, tmp_path):
    cluster = {"class": "dask_jobqueue.HTCondorCluster", "options": {"cores": 1}}
    analysis = load_analysis(toy.write(tmp_path, inputs, execution={"executor": "dask", "cluster": cluster}))
    assert with_execution(analysis, workers=9).execution.cluster.class_ == cluster["class"]
    assert with_execution(analysis, executor="futures").execution.cluster is None
    connected = with_execution(analysis, scheduler="tcp://a:1").execution
    assert (connected.executor, connected.cluster, connected.scheduler) == ("dask", None, "tcp://a:1")
    with pytest.raises(OddjetsError, match="--executor, --scheduler: 'scheduler' needs the executor dask"):
        with_execution(analysis, executor="futures", scheduler="tcp://a:1")


#: a processor that dies at every chunk of simulation, or waits until two workers said which GPU they see
PROCESSOR = """
import os
import signal
import time
from pathlib import Path

from dijet_anomaly import DijetAnomaly

FOLDER = Path({folder!r})


class Mine(DijetAnomaly):
    def event_columns(self, events):
        if (FOLDER / "die").exists() and not events.metadata["is_data"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if (FOLDER / "meet").exists():
            (FOLDER / f"gpu-{{os.getpid()}}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
            until = time.monotonic() + 300
            while len(list(FOLDER.glob("gpu-*"))) < 2 and time.monotonic() < until:
                time.sleep(0.05)
        return {{}}
"""


def with_processor(folder, inputs, flag):
    """Write an analysis whose processor does what the flag says."""
    changes = toy.misbehaving(folder)
    (folder / "mine.py").write_text(PROCESSOR.format(folder=str(folder)), encoding="utf-8")
    (folder / flag).touch()
    return toy.write(folder, inputs, **changes)


@pytest.mark.fault(
    "A chunk that kills every worker", "Gives up after three retries, names the chunk and keeps the others."
)
@pytest.mark.slow
def test_work_that_kills_all_workers_is_given_up(inputs, whole, tmp_path, monkeypatch):
    file = with_processor(tmp_path, inputs, "die")
    monkeypatch.setattr(local, "ALLOWED_WORKER_DEATHS", 1)
    with pytest.raises(OddjetsError, match=r"(?s)were killed 2 times.*top\.root: events.*of 7 chunks are kept"):
        toy.process(toy.run_of(file, executor="futures", workers=2))
    (tmp_path / "die").unlink()
    run = toy.process(toy.run_of(file))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] >= 1
    toy.assert_same_rows(toy.rows(run), whole)


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A tool that says what NVIDIA's says on a machine with two GPUs."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    # no interpreter by its path: that may have a blank
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_gpus_are_those_that_the_user_or_the_driver_names(two_gpus, monkeypatch):
    assert gpus.local_gpus(Execution()) == ("0", "1")
    assert gpus.local_gpus(Execution(provider="cpu")) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb,")
    assert gpus.local_gpus(Execution()) == ("GPU-aa", "GPU-bb")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", "")
    assert gpus.local_gpus(Execution()) == ()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_each_worker_sees_a_gpu_of_its_own(inputs, tmp_path, two_gpus, executor):
    if executor == "dask":
        pytest.importorskip("distributed", reason="needs dask: pip install 'oddjets[dask]'")
    file = with_processor(tmp_path / "a", inputs, "meet")
    toy.process(toy.run_of(file, executor=executor, workers=2))
    assert sorted(seen.read_text() for seen in (tmp_path / "a").glob("gpu-*")) == ["0", "1"]


@pytest.mark.fault(
    "GPU asked for and absent",
    "Stops before any work if ONNX Runtime has no CUDA, else at the first chunk; gives the reason and the alternatives.",
)
@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_a_gpu_that_is_absent_is_said(sample, tmp_path, monkeypatch, executor):
    # hides the GPU of a machine that has one
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(OddjetsError, match=r"provider 'cuda'.* has no CUDA.*or ask for 'auto' or 'cpu'"):
        processed(tmp_path, of_simulation(sample.folder), provider="cuda", executor=executor)


def test_a_cluster_of_many_workers_does_not_mean_as_many_processes_here():
    many = {"workers": 5000}
    assert Execution(**many).processes == 5000
    for elsewhere in ({"executor": "dask", "scheduler": "tcp://a:1"}, {"executor": "dask", "cluster": {}}):
        assert Execution(**many, **elsewhere).processes <= os.cpu_count()


#: a script that starts workers wherever it is imported
UNGUARDED = """
from types import SimpleNamespace
from oddjets.config.execution import Execution
from oddjets.workflow.executors.local import LocalBackend

LocalBackend(Execution(workers=2))([SimpleNamespace(id="a"), SimpleNamespace(id="b")], repr, print)
"""


def test_a_script_that_starts_itself_again_is_not_taken_for_want_of_memory(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "worker processes could not start: each imports" in done.stderr.splitlines()[-1]
    assert "memory ran out" not in done.stderr + done.stdout
