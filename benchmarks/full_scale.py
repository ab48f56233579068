"""The paper's size with known truth: does the method make the feature?

    python benchmarks/full_scale.py sample --part 1 --of 1 --workers 32 --seconds 720 --out FOLDER --labelled CARD.yaml
    python benchmarks/full_scale.py pack FOLDER --out PARTS
    python benchmarks/full_scale.py join PARTS/*.parquet --out sample.parquet
    python benchmarks/full_scale.py study sample.parquet --out benchmarks/results/full_scale.json
    python benchmarks/full_scale.py page benchmarks/results/full_scale.json --out docs/full_scale.md

``sample`` simulates, selects and scores as much of full_scale.yaml as fits a time, in units of some hundred events, and can be
stopped at any time; called again, it goes on. ``pack`` makes few files of the units that are finished, ``join`` checks them and
makes a bank with pseudo-data of one luminosity, ``study`` makes one JSON of it, and ``page`` the page of the documentation.
full_scale_elsewhere.sh makes the sample on a machine that reaches no network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# of the worker processes: several threads of each would only get into each other's way
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from full_scale_parts import join, pack_units, sizes
from full_scale_torch import start_servers
from full_scale_units import LABELLED, Task, file_of, make_units, make_units_of, scaled, the_analysis

from oddjets.core.errors import OddjetsError
from oddjets.scoring.model_card import load_card
from oddjets.workflow.validation import resolve


def at_least_one(text: str) -> int:
    """Return a number of processes, units or experiments."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"is at least 1 (got {number})")
    return number


def card_beside(model: Path, scratch: Path) -> Path:
    """Return a card of the labelled baseline, beside a copy of its model."""
    folder = scratch / "labelled"
    folder.mkdir(parents=True, exist_ok=True)
    if not model.is_file():
        raise OddjetsError(f"--labelled {model}: no file there; give the ONNX file of the labelled baseline")
    shutil.copyfile(model, folder / "omnilearned_small_simulation.onnx")
    shutil.copyfile(LABELLED, folder / "labelled.yaml")
    load_card(folder / "labelled.yaml")
    return folder / "labelled.yaml"


def sample(a: Any) -> None:
    """Make units until the time is over."""
    started = time.time()
    if not 1 <= a.part <= a.of:
        raise OddjetsError(f"--part {a.part}: is 1 to --of {a.of}")
    scratch = a.scratch or Path(tempfile.mkdtemp(prefix="full_scale-"))
    scratch.mkdir(parents=True, exist_ok=True)
    labelled = None if a.labelled is None else card_beside(a.labelled, scratch)
    analysis = the_analysis(labelled)
    assert analysis.simulate is not None
    units = make_units(scaled(analysis.simulate, a.scale))
    mine = [unit for k, unit in enumerate(units) if k % a.of == a.part - 1]
    todo = [unit for unit in mine if not file_of(a.out, unit).is_file()][: a.units]
    addresses: list[str] = []
    servers: list[Any] = []
    if a.devices:
        models = sorted({str(load_card(path).path) for path in resolve(analysis).cards.values()})
        addresses, servers = start_servers(scratch, a.devices.split(","), models)
        while not all(Path(address).exists() for address in addresses):
            if dead := [s.exitcode for s in servers if s.exitcode is not None]:
                raise OddjetsError(
                    f"the process of a GPU ended with {dead[0]}: leave out --devices to score on the CPU"
                )
            time.sleep(0.2)
    print(f"{len(todo)} of {len(mine)} units to do; begun after {time.time() - started:.0f} s", flush=True)
    task = Task(a.out, scratch, labelled, scaled(analysis.simulate, a.scale).luminosity or 0.0, tuple(addresses))
    try:
        make_units_of(todo, task, a.workers, started + a.seconds)
    finally:
        for server in servers:
            server.terminate()
        if a.scratch is None:
            shutil.rmtree(scratch, ignore_errors=True)
    done = [unit for unit in mine if file_of(a.out, unit).is_file()]
    failed = sorted((a.out / "failed").glob("*.txt"))
    print(
        f"{len(done)} of {len(mine)} units are finished, {len(failed)} failed, {time.time() - started:.0f} s",
        flush=True,
    )
    if failed:
        print(failed[0].read_text(encoding="utf-8")[-2000:], flush=True)
    if not done:
        raise OddjetsError("no unit was finished: give it more --seconds")


def pack_command(a: Any) -> None:
    """Pack finished units."""
    print(sizes(pack_units(a.folder, a.out, a.prefix, workers=a.workers, files=a.files)))


def join_command(a: Any) -> None:
    """Join parts."""
    with tempfile.TemporaryDirectory() as scratch:
        labelled = None if a.labelled is None else card_beside(a.labelled, Path(scratch))
        about = join(a.parts, a.out, labelled)
    a.out.with_suffix(".json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{about['luminosity_pb']:.2f} /pb of {about['planned_pb']:.2f}; {about['events']}; {sizes([a.out])}")


def study_command(a: Any) -> None:
    """Study a joined sample."""
    from full_scale_sample import Settings
    from full_scale_study import study

    known = {
        name: getattr(a, name)
        for name in ("experiments", "strengths", "workers", "toys", "seed", "replicas", "only", "scores")
    }
    a.out.parent.mkdir(parents=True, exist_ok=True)
    study(a.sample, a.out, Settings(**{name: value for name, value in known.items() if value is not None}))


def page_command(a: Any) -> None:
    """Write the page and its pictures."""
    from full_scale_page import write_page

    write_page(a.results, a.out)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("sample", help=sample.__doc__)
    one.add_argument("--part", type=int, default=1, help="of the units, every N-th, beginning with this one")
    one.add_argument("--of", type=int, default=1, help="N: machines that share the work")
    one.add_argument("--workers", type=at_least_one, default=1, help="processes")
    one.add_argument("--seconds", type=float, default=600, help="no unit is begun later; units take some 20 s")
    one.add_argument("--out", type=Path, required=True, help="folder of the units")
    one.add_argument("--labelled", type=Path, help="ONNX file of the labelled baseline")
    one.add_argument("--devices", default="", help="of PyTorch, such as cuda:0,cuda:1; none: ONNX Runtime on the CPU")
    one.add_argument("--scratch", type=Path, help="folder for files that are removed again")
    one.add_argument("--units", type=at_least_one, help="at most so many")
    one.add_argument("--scale", type=float, default=1.0, help="of the sample that is planned; for tests")
    one.set_defaults(run=sample)
    one = commands.add_parser("pack", help=pack_command.__doc__)
    one.add_argument("folder", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--prefix", default="part")
    one.add_argument("--workers", type=at_least_one, default=1)
    one.add_argument("--files", type=at_least_one)
    one.set_defaults(run=pack_command)
    one = commands.add_parser("join", help=join_command.__doc__)
    one.add_argument("parts", type=Path, nargs="+")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--labelled", type=Path, help="ONNX file of the labelled baseline")
    one.set_defaults(run=join_command)
    one = commands.add_parser("study", help=study_command.__doc__)
    one.add_argument("sample", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--experiments", type=at_least_one)
    one.add_argument("--strengths", type=float, nargs="*")
    one.add_argument("--toys", type=int)
    one.add_argument("--replicas", type=int)
    one.add_argument("--workers", type=at_least_one)
    one.add_argument("--seed", type=int)
    one.add_argument("--scores", nargs="*", help="that are studied; all, if it is not given")
    one.add_argument("--only", nargs="*", help="parts of the study; those that the file has already are kept")
    one.set_defaults(run=study_command)
    one = commands.add_parser("page", help=page_command.__doc__)
    one.add_argument("results", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=page_command)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = parser.parse_args()
    try:
        asked.run(asked)
    except OddjetsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
