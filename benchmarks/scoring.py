"""Scores per second: every way to run PET2, against OmniLearned's own code in the same run.

    python benchmarks/scoring.py [--checkpoint FILE | --size small|medium|large] [--jets FILE] [--provider cpu|cuda]

Prints Markdown tables. A size without a checkpoint gets random weights. On a CPU one thread is used, and time is CPU
time; on a GPU it is wall time. Times are medians of five. Every variant runs in a process of its own, whose peak memory is
reported. On a GPU a second table compares full batches of one shape with a rewrite in PyTorch, compiled, and with an
estimate of what the GPU allows (`limit`), and says what the scorer takes beyond its batches. Needs `pip install
'oddjets[train]'` and onnxruntime, or onnxruntime-gpu.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import json
import multiprocessing
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from oddjets.scoring import ModelCard, Scorer, anomaly_score, class_probabilities, load_card
from oddjets.scoring.gpu import run_uploaded, upload
from oddjets.scoring.onnx_session import get_session
from oddjets.training import Reference, read_checkpoint
from oddjets.training.export import export, load_jets
from oddjets.training.export.checkpoint import SIZES, Pet2Config
from oddjets.training.export.random_jets import multiplicities, random_jets
from oddjets.training.validate import PaddedJets, compare
from oddjets.training.validate.parity import has_tied_neighbours

Provider = Literal["cpu", "cuda"]
#: jets whose class probabilities are compared with float64
COMPARED = {"cpu": 32, "cuda": 512}
#: batch of `omnilearned evaluate`, and the length that it pads to
EVALUATE_BATCH, EVALUATE_LENGTH = 128, 150
#: repetitions
REPEATS = 5
#: jets and constituents of the batches of one shape
FIXED = (1000, 60)
#: slopes of norms of random networks are drawn between these, as trained ones lie: with equal slopes some operators drop out
SLOPES = (0.4, 0.7)


class Variant(NamedTuple):
    """One way to compute.

    Attributes:
        name: for the table.
        runtime: torch, or what an ONNX graph is exported for: cpu, gpu, gpu-half.
        batch: jets at a time; 0: as `oddjets.scoring.scorer.Scorer` does it.
        length: constituents that every batch is padded to; 0: jets are sorted, and padded to the longest of their batch.
    """

    name: str
    runtime: str
    batch: int
    length: int = 0


VARIANTS = {
    "cpu": [
        Variant("PET2, torch, as `omnilearned evaluate`", "torch", EVALUATE_BATCH, EVALUATE_LENGTH),
        Variant("PET2, torch, sorted by multiplicity", "torch", 8),
        Variant("ONNX Runtime, padded to 150", "cpu", 8, EVALUATE_LENGTH),
        Variant("ONNX Runtime, sorted by multiplicity", "cpu", 8),
        Variant("`oddjets` (one by one)", "cpu", 0),
    ],
    "cuda": [
        Variant("PET2, torch, as `omnilearned evaluate`", "torch", EVALUATE_BATCH, EVALUATE_LENGTH),
        Variant("PET2, torch, sorted by multiplicity", "torch", 256),
        Variant("ONNX Runtime, graph for CPUs, sorted", "cpu", 256),
        Variant("`oddjets`, graph for GPUs", "gpu", 0),
        Variant("`oddjets`, graph for GPUs in 16 bits", "gpu-half", 0),
    ],
}


def flop(config: Pet2Config, n: int) -> int:
    """Twice the multiplications of PET2's matrix products for a jet of ``n`` constituents, as its own code does them."""
    d, k, tokens = config.base_dim, config.neighbours, config.tokens
    rows, head = n + tokens, tokens * d
    embedding = 2 * n * (4 * 2 * d + 2 * d * d)
    local = n * k * (7 * 2 * d + 2 * d * d + config.local_depth * (8 * d * d + 2 * k * d))
    pairs = n * n * (3 * 2 * d + 2 * d * config.heads)
    body = config.depth * (rows * 8 * d * d + 2 * rows * rows * d)
    classifier = config.head_depth * (n * 2 * d * d + tokens * 6 * d * d + 2 * tokens * n * d)
    return 2 * (embedding + local + pairs + body + classifier + 4 * head * head + head * config.n_classes)


def ceiling(provider: str, half: bool = False) -> float:
    """FLOP/s of one large product of matrices in float32 (on a GPU without TF32), or in 16 bits."""
    if provider == "cuda":
        import torch

        a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16 if half else torch.float32)

        def product() -> None:
            a @ a
            torch.cuda.synchronize()

        return 2 * 8192**3 / median(product, time.perf_counter, 10)
    b = np.random.default_rng(0).normal(size=(1536, 1536)).astype(np.float32)
    return 2 * 1536**3 / median(lambda: b @ b, time.process_time, 10)


def copy_rate() -> float:
    """Bytes/s that a GPU reads and writes when it copies."""
    import torch

    a = torch.empty(1 << 30, dtype=torch.int8, device="cuda")
    b = torch.empty_like(a)

    def copy() -> None:
        b.copy_(a)
        torch.cuda.synchronize()

    return 2 * a.numel() / median(copy, time.perf_counter, 10)


def least_bytes(config: Pet2Config, n: int) -> int:
    """Bytes that a jet of ``n`` constituents moves if all elementwise work is part of the products and of the attention.

    In a block, for a row of width d: the stream (float32) is read by four products and written by two, 24 d; queries, keys and
    values are written and read, 12 d; the attention's result 4 d; the hidden layer 8 d. Every block reads scores of pairs.
    """
    d, rows = config.base_dim, n + config.tokens
    blocks = n * config.neighbours * config.local_depth + rows * config.depth
    return 48 * d * blocks + 2 * config.heads * rows * rows * config.depth


def limit(config: Pet2Config, n: int, peak: float, copied: float) -> float:
    """Jets/s of one shape if products ran at the rate of a large one, and the rest at that of a copy; an estimate."""
    return 1 / (flop(config, n) / peak + least_bytes(config, n) / copied)


def median(action: Callable[[], Any], clock: Callable[[], float], repeats: int) -> float:
    """Run once to warm up, then return the median time of several."""
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return float(np.median(times))


def batches(jets: PaddedJets, variant: Variant) -> list[PaddedJets]:
    """The jets as the variant is given them."""
    if variant.length:
        order, jets = np.arange(len(jets.x)), jets.padded(variant.length)
    else:
        order = np.argsort(-jets.counts, kind="stable")
    jets = PaddedJets(*(a[order] for a in jets))
    starts = range(0, len(order), variant.batch)
    # OmniLearned needs one constituent more than it has neighbours
    floor = 11 if variant.runtime == "torch" else 1
    lengths = [variant.length or max(floor, int(jets.counts[i : i + variant.batch].max())) for i in starts]
    cut = [jets.take(slice(i, i + variant.batch), n) for i, n in zip(starts, lengths, strict=True)]
    return [PaddedJets(*(np.ascontiguousarray(a) for a in b)) for b in cut]


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own, whose memory goes with it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def exact_logits(provider: Provider, checkpoint: Path, jets: PaddedJets) -> NDArray[np.float64]:
    """Logits of PET2 in float64, of the jets that are compared."""
    return Reference(read_checkpoint(checkpoint), provider).logits(compared(jets, provider))


def measure(
    variant: Variant, provider: Provider, checkpoint: Path, card: Path, jets: PaddedJets
) -> tuple[float, float, NDArray[Any]]:
    """Seconds, peak memory (GiB) and logits of the compared jets, of one variant in this process."""
    clock = time.process_time if provider == "cpu" else time.perf_counter
    run_all = runner(variant, provider, checkpoint, load_card(card))
    work = batches(jets, variant) if variant.batch else [jets.prepared()]
    seconds = median(lambda: [run_all(batch) for batch in work], clock, REPEATS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if provider == "cuda":
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        memory = float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]) / 1024
    few = compared(jets, provider)
    if variant.batch:
        logits = np.concatenate([run_all(batch) for batch in batches(few, variant)])
        order = np.arange(len(logits)) if variant.length else np.argsort(-few.counts, kind="stable")
        logits[order] = logits.copy()
    else:
        logits = run_all(few.prepared())
    return seconds, memory, logits


def compared(jets: PaddedJets, provider: Provider) -> PaddedJets:
    """The jets whose probabilities are compared: those of the first ones in which no distances tie."""
    few = jets.take(slice(0, COMPARED[provider]))
    clear = ~has_tied_neighbours(few)
    return PaddedJets(*(array[clear] for array in few))


def runner(variant: Variant, provider: Provider, checkpoint: Path, card: ModelCard) -> Callable[[Any], Any]:
    """Return what computes logits, of jets that are prepared for the scorer or in one batch."""
    if variant.runtime == "torch":
        import torch

        torch.set_num_threads(1)
        device = torch.device(provider)
        model = Reference(read_checkpoint(checkpoint), provider).model

        def by_torch(batch: PaddedJets) -> Any:
            with torch.no_grad():
                x, pid, add = (torch.from_numpy(a).to(device) for a in batch)
                return model(x, None, None, pid, add)["y_pred"].cpu().numpy()

        return by_torch
    scorer = Scorer(card, provider)
    if not variant.batch:
        return scorer.run
    session, _ = get_session(card, provider)
    return lambda batch: session.run([card.output.name], batch._asdict())[0]


def random_checkpoint(size: str, folder: Path) -> Path:
    """Write a checkpoint with random weights."""
    import torch
    from omnilearned.network import PET2
    from omnilearned.utils import get_model_parameters

    torch.manual_seed(1)
    model = PET2(input_dim=4, pid=True, add_info=True, num_classes=210, K=10, num_coord=2, **get_model_parameters(size))
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.uniform_(parameter, *SLOPES)
    path = folder / f"random_{size}.pt"
    torch.save({"body": model.body.state_dict(), "classifier_head": model.classifier.state_dict()}, path)
    return path


def fixed_jets() -> PaddedJets:
    """Random jets of one shape."""
    n, length = FIXED
    return random_jets([length] * n, np.random.default_rng(5))


def by_onnx(card: Path) -> tuple[float, NDArray[Any]]:
    """Seconds of one batch of one shape whose inputs are on the GPU, and the logits."""
    loaded = load_card(card)
    session, _ = get_session(loaded, "cuda")
    inputs = upload({name: np.ascontiguousarray(array) for name, array in fixed_jets()._asdict().items()}, 0)
    seconds = median(lambda: run_uploaded(session, inputs, loaded.output.name, 0), time.perf_counter, REPEATS)
    return seconds, run_uploaded(session, inputs, loaded.output.name, 0)


def by_compiled_torch(checkpoint: Path) -> tuple[float, NDArray[Any]]:
    """The same by the compiled rewrite in PyTorch."""
    import torch
    from pet2_torch import CompiledPet2

    network = CompiledPet2(read_checkpoint(checkpoint))
    inputs = [torch.from_numpy(np.ascontiguousarray(array)).to("cuda") for array in fixed_jets()]

    def run() -> Any:
        return network(*inputs).cpu()

    for _ in range(3):
        run()
    return median(run, time.perf_counter, REPEATS), run().numpy()


def beyond_batches(card: Path, jets: PaddedJets) -> tuple[float, float, int]:
    """Seconds that the scorer takes, seconds of its batches alone with inputs on the GPU, and cells with padding."""
    loaded, prepared = load_card(card), jets.prepared()
    scorer, sent = Scorer(loaded, "cuda"), []
    scorer.run(prepared)
    seconds = median(lambda: scorer.run(prepared), time.perf_counter, REPEATS)

    def record(session: Any, inputs: Any, *others: Any) -> Any:
        sent.append(inputs)
        return run_uploaded(session, inputs, *others)

    with mock.patch("oddjets.scoring.scorer.run_uploaded", record):
        scorer.run(prepared)
    session, _ = get_session(loaded, "cuda")
    alone = [median(lambda i=i: run_bound(session, i, loaded.output.name), time.perf_counter, REPEATS) for i in sent]
    return seconds, sum(alone), sum(int(np.prod(inputs["pid"].shape())) for inputs in sent)


def run_bound(session: Any, inputs: Any, output: str) -> None:
    """Run a session on inputs on the GPU, and leave its output there."""
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output(output, "cuda", 0)
    session.run_with_iobinding(binding)


def print_fixed(checkpoint: Path, card: Path, jets: PaddedJets) -> dict[str, float]:
    """Print the table of batches of one shape, and what the scorer takes beyond its batches."""
    network, (n, length) = read_checkpoint(checkpoint), FIXED
    peak, copied = apart(ceiling, "cuda", True), apart(copy_rate)
    bound = limit(network.config, length, peak, copied)
    shown = fixed_jets()
    exact = apart(exact_logits, "cuda", checkpoint, shown)
    described = load_card(card)
    print(
        f"\n{n} jets of {length} constituents, on the GPU already; 16-bit products {peak / 1e12:.0f} TFLOP/s, copies ",
        end="",
    )
    print(f"{copied / 1e12:.2f} TB/s, estimated limit {bound:.3g} jets/s\n")
    print(
        "| | ms | jets/s | of the 16-bit rate | of the limit | difference: median | maximum |\n|---|---|---|---|---|---|---|"
    )
    few = shown.take(slice(0, COMPARED["cuda"]))
    clear = np.flatnonzero(~has_tied_neighbours(few))
    result = {"rate 16 bits": peak, "copies": copied, "limit": bound}
    for name, function, given in (
        ("`oddjets`, graph for GPUs in 16 bits", by_onnx, card),
        ("rewrite in PyTorch, compiled", by_compiled_torch, checkpoint),
    ):
        seconds, logits = apart(function, given)
        chosen = logits[clear]
        parity = compare(
            name, class_probabilities(chosen, described), anomaly_score(chosen, described), exact, described
        )
        rate = n / seconds
        shares = f"{rate * flop(network.config, length) / peak:.0%} | {rate / bound:.0%}"
        print(
            f"| {name} | {1e3 * seconds:.1f} | {rate:.3g} | {shares} | {parity.median:.1e} | {parity.maximum:.1e} |",
            flush=True,
        )
        result[name] = rate
    seconds, alone, cells = apart(beyond_batches, card, jets)
    tokens = network.config.tokens
    n, rest = len(jets.x), 1e6 * (seconds - alone) / len(jets.x)
    padding = (cells + tokens * n) / (int(jets.counts.sum()) + tokens * n) - 1
    print(
        f"\n{n} jets by the scorer: {n / seconds:.3g} jets/s; {rest:+.2f} microseconds a jet beyond its batches one by one;"
    )
    print(f"{padding:.1%} padding")
    return result | {"scorer": n / seconds, "host microseconds": rest, "padding": padding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="else random weights")
    parser.add_argument("--size", choices=list(SIZES), default="small", help="of a network with random weights")
    parser.add_argument(
        "--jets", type=Path, help="npz with x, pid and add; else random jets of 55 constituents on average"
    )
    parser.add_argument("--n-jets", type=int, default=256)
    parser.add_argument("--provider", choices=list(VARIANTS), default="cpu")
    parser.add_argument("--only", default="", help="variants with this in their name, without the others' time")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    n = arguments.n_jets
    jets = random_jets(multiplicities(n, rng), rng) if arguments.jets is None else load_jets(arguments.jets, n)
    peak, rows = apart(ceiling, arguments.provider), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = arguments.checkpoint or random_checkpoint(arguments.size, folder)
        network = read_checkpoint(checkpoint)
        variants = [v for v in VARIANTS[arguments.provider] if arguments.only in v.name]
        targets = ({v.runtime for v in variants} | {"gpu-half"}) - {"torch"}
        cards = {target: export(checkpoint, folder / f"{target}.onnx", target=target).card for target in targets}
        exact = apart(exact_logits, arguments.provider, checkpoint, jets)
        described = load_card(next(iter(cards.values())))
        per_jet = sum(flop(network.config, count) for count in jets.counts.tolist()) / n
        print(f"{n} jets, {jets.counts.mean():.0f} constituents and {per_jet / 1e9:.2f} GFLOP each;")
        print(f"{arguments.provider}: {peak / 1e9:.0f} GFLOP/s in a product of float32 matrices\n")
        print("| variant | jets/s | ratio | of the matrix rate | memory, GiB | difference: median | maximum |")
        print("|---|---|---|---|---|---|---|")
        for variant in variants:
            card = cards.get(variant.runtime, next(iter(cards.values())))
            seconds, memory, logits = apart(measure, variant, arguments.provider, checkpoint, card, jets)
            rate = n / seconds
            probabilities, scores = class_probabilities(logits, described), anomaly_score(logits, described)
            parity = compare(variant.name, probabilities, scores, exact, described)
            rows.append({"variant": variant.name, "rate": rate, "memory": memory, "maximum": parity.maximum})
            share, ratio = rate * per_jet / peak, rate / rows[0]["rate"]
            numbers = f"{rate:.3g} | {ratio:.2f} | {share:.0%} | {memory:.1f}"
            print(f"| {variant.name} | {numbers} | {parity.median:.1e} | {parity.maximum:.1e} |", flush=True)
        fixed = print_fixed(checkpoint, cards["gpu-half"], jets) if arguments.provider == "cuda" else {}
        rows += [{"variant": name, "rate": value} for name, value in fixed.items()]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
