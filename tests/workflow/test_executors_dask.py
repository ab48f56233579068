"""Chunks on dask clusters: the same rows, whatever dies."""

import logging
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import toy_analysis as toy

from oddjets.config.analysis import load_analysis
from oddjets.core import resources
from oddjets.core.errors import OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.scoring.model_card import load_card
from oddjets.workflow.executors import chunk_worker, shipped_files
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import plan
from oddjets.workflow.overrides import with_execution
from oddjets.workflow.pipeline import run_stages
from oddjets.workflow.run import RunContext

distributed = pytest.importorskip("distributed", reason="needs dask: pip install 'oddjets[dask]'")

from oddjets.workflow.executors import dask_cluster, dask_plugin, worker_monitor  # noqa: E402


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy.files(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The rows of a run in one process."""
    return toy.rows(toy.process(toy.run_of(toy.write(tmp_path_factory.mktemp("whole"), inputs))))


@pytest.fixture(scope="module")
def scheduler():
    """The address of a cluster of two processes, which gives a chunk up when it has killed two."""
    import dask

    options = {
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,
    }
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, memory_limit=0, **options) as cluster,
    ):
        yield cluster.scheduler_address


def on(address, **execution):
    return {"executor": "dask", "scheduler": address} | execution


@pytest.mark.parametrize("execution", [{}, {"shared_filesystem": False, "chunk_size": 13}], ids=["shared", "luggage"])
def test_rows_are_the_same(inputs, whole, tmp_path, scheduler, execution):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(scheduler, **execution)))
    toy.assert_same_rows(toy.rows(run), whole)
    assert not [file for file in (run.out / "chunks").rglob("*") if file.name.startswith(".")]


def test_a_cluster_by_its_class_that_grows_as_there_is_work(inputs, whole, tmp_path, capfd):
    cluster = {
        "class": "distributed.LocalCluster",
        "options": {"processes": False},
        "adaptive": {"maximum": 1},
    }
    file = toy.write(tmp_path, inputs, execution={"executor": "dask", "cluster": cluster})
    toy.assert_same_rows(toy.rows(toy.process(toy.run_of(file))), whole)
    said = capfd.readouterr().err
    assert "dask: scheduler inproc://" in said
    assert "no worker yet" in said


@pytest.mark.fault(
    "Worker killed in the middle of a chunk",
    "With dask: gives the chunk to another worker; no event is lost or counted twice.",
)
@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_is_replaced(inputs, whole, tmp_path, scheduler, shared):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "die-20").touch()
    run = toy.process(toy.run_of(file, **on(scheduler, shared_filesystem=shared)))
    assert not (tmp_path / "die-20").exists()
    toy.assert_same_rows(toy.rows(run), whole)
    assert len(toy.pieces(run)) == 7


@pytest.mark.parametrize("moment", ["setup", "teardown"])
@pytest.mark.fault(
    "Worker leaves when a run starts or ends",
    "Sends the set-up to the other workers again; a finished run is not lost, and the scheduler keeps nothing of it.",
)
def test_a_worker_may_leave_at_any_moment(inputs, whole, tmp_path, scheduler, moment):
    def leave(moment):
        setattr(dask_plugin.ChunkWorkerPlugin, moment, lambda self, worker: os._exit(1))

    with distributed.Client(scheduler, set_as_default=False) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        client.run(leave, moment, workers=[next(iter(workers))])
        run = toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(scheduler)))
        toy.assert_same_rows(toy.rows(run), whole)
        until(lambda: not workers.keys() <= client.scheduler_info(n_workers=-1)["workers"].keys())
        assert not left_with(client)


def left_with(client):
    """The work that a scheduler brings to workers that come."""
    names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    return [name for name in names if name.startswith("oddjets")]


@pytest.mark.slow
def test_an_exception_of_the_processor_is_not_tried_again(inputs, whole, tmp_path, scheduler):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "fail-20").touch()
    with pytest.raises(
        OddjetsError,
        match=r"events 2\d to \d+: the processor failed in mine.py, line 16 \(ZeroDivisionError: a bug of mine",
    ):
        toy.process(toy.run_of(file, **on(scheduler)))
    (tmp_path / "fail-20").unlink()
    toy.assert_same_rows(toy.rows(toy.process(toy.run_of(file, **on(scheduler)))), whole)


@pytest.mark.slow
@pytest.mark.fault(
    "A chunk that kills every worker",
    "With dask: gives up after four attempts, names the chunk and keeps the others.",
)
def test_work_that_kills_all_workers_is_given_up(inputs, tmp_path, scheduler):
    changes = toy.misbehaving(tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text(mine.read_text().replace('(FLAGS / f"die-{start}").unlink()', "pass"), encoding="utf-8")
    (tmp_path / "die-25").touch()
    run = toy.run_of(toy.write(tmp_path, inputs, **changes), **on(scheduler))
    with pytest.raises(OddjetsError, match=r"2 workers died while they had .*\.root: events .* of 7 chunks are kept"):
        toy.process(run)


@contextmanager
def started(*command, **options):
    """A process, which is killed at the end whatever happens."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


#: a scheduler with a worker in its own process, which prints its address
ALONE = """
import time
from distributed import LocalCluster
options = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
with LocalCluster(n_workers=1, processes=False, **options) as cluster:
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.fault(
    "Scheduler gone", "Stops and names the scheduler; finished chunks are kept, and the same command continues."
)
def test_a_scheduler_that_dies_costs_only_what_was_being_done(inputs, whole, tmp_path, scheduler):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "hang-40").touch()
    with started("-c", ALONE, stdout=subprocess.PIPE, text=True) as alone:
        address = alone.stdout.readline().strip()

        def kill():
            until((tmp_path / "hanging").exists)
            alone.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            gone = rf"scheduler at {re.escape(address)} is gone.*[1-6] of 7 chunks are kept"
            with pytest.raises(OddjetsError, match=gone) as error:
                toy.process(toy.run_of(file, **on(address)))
        finally:
            killer.join()
    assert error.value.exit_code == 2
    (tmp_path / "hang-40").unlink()
    run = toy.process(toy.run_of(file, **on(scheduler)))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] >= 1
    toy.assert_same_rows(toy.rows(run), whole)


@pytest.mark.slow
@pytest.mark.fault(
    "Client killed and restarted",
    "With dask: chunks that workers finish meanwhile are kept or repeated, and counted once.",
)
def test_a_client_that_is_killed_goes_on_from_there(inputs, whole, tmp_path, scheduler):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "hang-40").touch()
    command = ["-m", "oddjets", "process", str(file), "--out", str(tmp_path / "out"), "--scheduler", scheduler]
    with started(*command) as client:
        until((tmp_path / "hanging").exists)
        assert client.poll() is None
    (tmp_path / "hang-40").unlink()
    run = toy.process(toy.run_of(file, **on(scheduler)))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] >= 1
    toy.assert_same_rows(toy.rows(run), whole)
    assert len(toy.pieces(run)) == 7


def test_no_scheduler_is_said(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_TIMEOUT_S", 1)
    with pytest.raises(OddjetsError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9 within 1 s") as error:
        toy.process(toy.run_of(toy.write(tmp_path, inputs), **on("tcp://127.0.0.1:9")))
    assert error.value.exit_code == 2


@pytest.mark.fault("Scheduler unreachable", "Stops and gives its address before any simulation or reading.")
def test_no_scheduler_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_TIMEOUT_S", 1)
    analysis = load_analysis(resources.find("demo_small.yaml", "processors"))
    run = RunContext(with_execution(analysis, scheduler="tcp://127.0.0.1:9"), tmp_path / "out")
    with pytest.raises(OddjetsError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_stages(run)
    assert not (tmp_path / "out" / "simulation").exists()


@pytest.fixture
def alone():
    """A scheduler without workers."""
    options = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with distributed.LocalCluster(n_workers=0, processes=False, silence_logs=logging.CRITICAL, **options) as cluster:
        yield cluster


@pytest.mark.fault(
    "All workers gone",
    "Reports that it waits for workers, and for how long; then stops, and the same command continues.",
)
def test_a_run_does_not_wait_for_workers_for_ever(inputs, tmp_path, monkeypatch, capfd, alone):
    monkeypatch.setattr(worker_monitor, "_LOOK_S", 0.1)
    monkeypatch.setattr(worker_monitor, "_SILENCE_S", 0.2)
    file = toy.write(tmp_path, inputs)
    with pytest.raises(
        OddjetsError, match=r"no dask worker seen for \d+ s at tcp://.*7 chunks wait.*0 of 7 chunks are kept"
    ):
        toy.process(toy.run_of(file, **on(alone.scheduler_address, workers_timeout_s=5)))
    assert re.search(
        r"no worker seen for \d+ s; 7 chunks wait until one comes .* for 5 s at most", capfd.readouterr().err
    )


@pytest.mark.slow
def test_a_worker_that_comes_late_does_the_work(inputs, whole, tmp_path, monkeypatch, alone):
    monkeypatch.setattr(worker_monitor, "_LOOK_S", 0.1)
    late = threading.Timer(1.0, alone.scale, [1])
    late.start()
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(alone.scheduler_address, workers_timeout_s=60)))
    late.join()
    toy.assert_same_rows(toy.rows(run), whole)


def test_a_cluster_class_that_is_not_installed_is_said(inputs, tmp_path):
    execution = {"executor": "dask", "cluster": {"class": "dask_jobqueu.HTCondorCluster"}}
    with pytest.raises(OddjetsError, match="needs the package 'dask_jobqueu', which is not installed: pip install"):
        toy.process(toy.run_of(toy.write(tmp_path, inputs, execution=execution)))


@pytest.mark.slow
def test_options_that_a_cluster_class_does_not_take_are_said(inputs, tmp_path):
    execution = {"executor": "dask", "cluster": {"class": "distributed.LocalCluster", "options": {"n_wrkers": 1}}}
    with pytest.raises(OddjetsError, match=r"execution\.cluster\.options: LocalCluster\(.*n_wrkers=1.*\) failed"):
        toy.process(toy.run_of(toy.write(tmp_path, inputs, execution=execution)))


def test_a_worker_that_does_not_see_the_output_folder_says_what_to_do(inputs, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(shipped_files, "write_file", lambda file, content: None)
    with pytest.raises(
        OddjetsError, match=r"the dask worker on .* does not see .*chunks: say .*shared_filesystem: false"
    ):
        toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(scheduler)))


def test_a_worker_with_other_versions_is_refused(inputs, tmp_path, scheduler, monkeypatch):
    plain = chunk_worker.versions()
    monkeypatch.setattr(chunk_worker, "versions", lambda: plain | {"numpy": "1.0"})
    with pytest.raises(OddjetsError, match=r"has other package versions.*numpy .* \(here 1\.0\)"):
        toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(scheduler)))


@pytest.fixture
def packed(inputs, tmp_path):
    """The shipped files of an analysis with a model, corrections and a golden JSON."""
    golden = tmp_path / "golden.json"
    golden.write_text('{"1": [[1, 5]]}', encoding="utf-8")
    card = "omnilearned_small_simulation.yaml"
    file = toy.write(tmp_path / "a", inputs, scores={"odd": {"card": card}}, threshold={"score": "odd", "value": 0.5})
    text = file.read_text().replace(
        "selection:", f"selection:\n  golden_json: {golden}\n  cuts: [certified, trigger]", 1
    )
    file.write_text(text, encoding="utf-8")
    run = toy.run_of(file)
    cards = tuple((name, str(path)) for name, path in run.resolved.cards.items())
    return shipped_files.pack(
        ChunkWorker(run.resolved.source, run.analysis, cards, str(run.out), 1, str(run.out / "scores"))
    )


def test_unpacked_work_needs_nothing_of_the_machine_that_packed_it(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("ODDJETS_CACHE", "nowhere")
    folder = tmp_path / "there"
    work = packed.unpack(folder)
    assert Path(os.environ["ODDJETS_CACHE"]).is_relative_to(folder)
    assert Path(work.output).is_relative_to(folder)
    assert work.score_cache is None
    assert load_card(work.cards[0][1]).path.is_relative_to(folder)
    processor = work.build()
    assert processor.era_folder.is_relative_to(folder)
    assert all(
        (processor.era_folder / spec.path).is_file() for spec in processor.era.files.values() if not spec.official
    )
    assert len(processor._certified.first)


def test_luggage_that_was_changed_on_its_way_is_refused(packed, tmp_path):
    (path, sha256, content), *others = packed.files
    changed = shipped_files.ShippedFiles(((path, sha256, content + b" "), *others), packed.work)
    with pytest.raises(OddjetsError, match="was changed on its way to the worker"):
        changed.unpack(tmp_path / "there")


def test_what_was_written_comes_back_and_goes_from_the_worker(inputs, tmp_path, whole):
    run = toy.run_of(toy.write(tmp_path, inputs))
    chunk = plan(run.fileset, 20, "key")[0]
    work = shipped_files.pack(ChunkWorker(run.resolved.source, run.analysis, (), str(run.out), 1)).unpack(
        tmp_path / "there"
    )
    assert not hasattr(work(chunk)[chunk.id], "message")
    home = shipped_files.collect_outputs(tmp_path / "there", chunk)
    assert [Path(name).suffix for name in home] == [".parquet", ".json"]
    assert shipped_files.collect_outputs(tmp_path / "there", chunk) == {}


#: a worker where oddjets is not installed
WITHOUT = """
import sys
sys.modules["oddjets"] = None
from distributed.cli.dask_worker import main
sys.argv = ["dask-worker", sys.argv[1], "--no-nanny", "--nthreads", "1", "--no-dashboard"]
main()
"""


@pytest.mark.slow
def test_a_worker_without_oddjets_is_said(inputs, tmp_path):
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(n_workers=0, **options) as cluster:
        address = cluster.scheduler_address
        with started("-c", WITHOUT, address):
            until(lambda: cluster.scheduler.workers)
            with pytest.raises(OddjetsError, match=r"cannot be sent to the dask workers .*they need the same oddjets"):
                toy.process(toy.run_of(toy.write(tmp_path, inputs), **on(address)))
            with distributed.Client(address, set_as_default=False) as client:
                assert not left_with(client)
