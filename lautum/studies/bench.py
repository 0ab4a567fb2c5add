"""`make bench`: what a training step costs, beside the ways it is usually written.

Everything is compared in interleaved rounds, a few steps of one and then of the other, so that a drift of the machine
cancels; a ratio is the median over rounds of the ratio of two neighbours, with its quartiles.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lautum import mmd, objectives
from lautum.files import write_json
from lautum.objectives import PRETRAIN, mk_mmd, source_only, two_stream
from lautum.pipeline.environment import describe
from lautum.pipeline.processor import has_bfloat16
from lautum.regularizer import LautumRegularizer
from lautum.studies.peers import BATCH, SHAPES, data, lautum_by_inverses, loader_stepper, mmd_by_broadcast
from lautum.training import checkpoint, networks
from lautum.training.device import select_device
from lautum.training.networks import Network
from lautum.training.optimiser import Adam

CPU = torch.device("cpu")
CASES = (
    ("MNIST", "conv16-32-fc128", "float32"),
    ("MNIST", "conv32-64-fc1024", "float32"),
    ("MNIST", "conv32-64-fc1024", "bfloat16"),
    ("CIFAR", "conv32-64-fc512", "float32"),
    ("CIFAR", "conv32-64-fc512", "bfloat16"),
)
_STEPPERS: dict[tuple, Callable[[], None]] = {}


def main() -> None:
    """Measure, print a table, and write reports/benchmark.json."""
    parser = argparse.ArgumentParser(
        prog="python -m lautum.studies.bench", description="Measure what a training step costs."
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="pairs of measurements for each ratio (default: %(default)s)"
    )
    rounds = parser.parse_args().rounds
    select_device("cpu", threads=1)
    rows = [
        *limit_shares(rounds),
        *step_ratios(rounds),
        *loss_ratios(rounds),
        *outside_share(rounds),
        *loader_ratios(rounds),
        whitening_seconds(),
        checkpoint_share(rounds),
    ]
    write_json(
        Path("reports/benchmark.json"), {"environment": describe(CPU, 1).model_dump(), "rounds": rounds, "rows": rows}
    )
    print(f"\n{rounds} rounds; median [quartiles]; {describe(CPU, 1).cpu}, 1 thread unless said otherwise")
    for row in rows:
        print(f"{row['what']:<92} {row['median']:>7.3f} [{row['low']:.3f}, {row['high']:.3f}]  {row['target']}")


def cases() -> list[tuple[str, str, str]]:
    """Those of CASES that this machine can run; says which it cannot."""
    if has_bfloat16():
        return list(CASES)
    print("left out: bfloat16, for which this processor has no instructions", file=sys.stderr, flush=True)
    return [case for case in CASES if case[2] != "bfloat16"]


def limit_shares(rounds: int) -> list[dict]:
    """How near a training step comes to what one core can do: its FLOP/s relative to those of a matrix product.

    The product is of two 1024 x 1024 matrices in the step's precision; the step's FLOPs are those of its convolutions
    and matrix products, forward and backward.
    """
    rows, size = [], 1024
    for shape, network, precision in cases():
        step = stepper("source_only", shape, network, precision)
        with FlopCounterMode(display=False) as counter:
            step()
        flops = counter.get_total_flops() / (2 * size**3)  # of a step, in products
        matrix = torch.rand(size, size, dtype=getattr(torch, precision))
        what = f"share of the matrix product's speed ({shape} shape, {network}, {precision}, batch {BATCH})"
        row = ratio(what, lambda matrix=matrix: matrix @ matrix, step, rounds, 4)
        rows.append(row | {name: flops * row[name] for name in ("median", "low", "high")})
    return rows


def step_ratios(rounds: int) -> list[dict]:
    """A step of each pre-transfer objective relative to the two-stream step without a term on the target."""
    rows = []
    for shape, network, names in (
        ("MNIST", "conv16-32-fc128", ("lautum", "mk_mmd")),
        ("MNIST", "conv32-64-fc1024", ("lautum", "mk_mmd", "source_only")),
        ("CIFAR", "conv32-64-fc512", ("lautum", "mk_mmd")),
    ):
        reference = stepper("two_stream", shape, network)
        for name in names:
            target = {"lautum": "<= 1.05", "mk_mmd": "<= 1.10"}.get(name, "")
            what = f"step time, {name} / two streams without a term ({shape} shape, {network}, batch {BATCH})"
            rows.append(ratio(what, stepper(name, shape, network), reference, rounds, 4, target))
    return rows


def loss_ratios(rounds: int) -> list[dict]:
    """Forward and backward of the two regularisers relative to how they are usually written."""
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(BATCH, 1024, generator=generator).requires_grad_() for _ in range(2))
    pool = torch.randn(2000, 784, generator=generator)
    inputs, logits = pool[:BATCH], torch.randn(BATCH, 10, generator=generator).requires_grad_()
    regularizer = LautumRegularizer(pool, torch.randn(2000, 10, generator=generator))
    return [
        ratio(
            "Mk-MMD, one kernel at a time from broadcast differences / one distance matrix (1024 features)",
            lambda: mmd_by_broadcast(source, target).backward(),
            lambda: mmd.multi_kernel_mmd(source, target).backward(),
            max(2, rounds // 5),
            1,
        ),
        ratio(
            "Lautum term, 784 x 784 with explicit inverses / whitened to rank 50",
            lambda: lautum_by_inverses(inputs, logits).backward(),
            lambda: regularizer(inputs, logits).backward(),
            rounds,
            2,
        ),
    ]


def outside_share(rounds: int) -> list[dict]:
    """Share of a step's time that is not forward, backward or optimiser: drawing, selecting and scaling the batches."""
    rows = []
    for name in ("lautum", "source_only"):
        objective, network, optimiser = build(name, "MNIST", "conv32-64-fc1024")
        shares = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            objective.source_batch()
            if isinstance(objective, two_stream.Objective):
                objective.target_batch()
            drawn = time.perf_counter()
            loss = objective.step(0).loss  # draws its batches once more, which the share below accounts for
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step(1e-3, 0.9)
            optimiser.zero_grad()
            shares.append((drawn - began) / (time.perf_counter() - drawn))
        rows.append(summary(f"share of a {name} step outside forward, backward and optimiser", shares[1:], "<= 0.05"))
    return rows


def loader_ratios(rounds: int) -> list[dict]:
    """Training throughput relative to the same training with a DataLoader and torchvision's transforms.

    First a job of ours beside a script on one thread each; then the whole machine: as many one-thread jobs of ours as
    there are cores at the same time, as the graph runs them, beside one script that has all cores and two workers.
    """
    rows = []
    for shape, network, precision in cases():
        ours, theirs = stepper("source_only", shape, network, precision), loader_stepper(shape, network, 1, 0)
        what = f"throughput / DataLoader script, one thread each ({shape} shape, {network}, {precision})"
        rows.append(ratio(what, theirs, ours, max(3, rounds // 3), 10, ">= 2"))
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, context) as jobs, ProcessPoolExecutor(1, context) as script:
        for shape, network, precision in cases():
            ratios = []
            for _ in range(max(3, rounds // 3) + 1):
                rates = list(jobs.map(steps_per_second, [("ours", shape, network, precision)] * cores))
                ratios.append(sum(rates) / script.submit(steps_per_second, ("script", shape, network, "")).result())
            what = f"throughput of {cores} jobs / DataLoader script with {cores} threads, 2 workers ({shape} shape, "
            rows.append(summary(f"{what}{network}, {precision})", ratios[1:], ">= 2"))
            print(f"measured: {rows[-1]['what']}", file=sys.stderr, flush=True)
    return rows


def steps_per_second(case: tuple[str, str, str, str], seconds: float = 4.0) -> float:
    """Training steps per second of one process, ours or the script, over `seconds` after two steps of warming up."""
    who, shape, network, precision = case
    torch.set_deterministic_debug_mode("error" if who == "ours" else "default")
    if case not in _STEPPERS:  # kept over the rounds, with its workers and the pages of its memory
        _STEPPERS[case] = (
            stepper("source_only", shape, network, precision)
            if who == "ours"
            else loader_stepper(shape, network, os.cpu_count() or 1, 2)
        )
    step = _STEPPERS[case]
    for _ in range(2):
        step()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - began)


def whitening_seconds() -> dict:
    """One-time cost of the regulariser for 5,000 images of CIFAR's size, seconds."""
    pool = torch.randn(5000, 3072, generator=torch.Generator().manual_seed(0))
    began = time.perf_counter()
    LautumRegularizer(pool, pool[:, :10])
    return summary("building the regulariser at D = 3072, N = 5000, seconds", [time.perf_counter() - began], "<= 30")


def checkpoint_share(rounds: int) -> dict:
    """Share of training time that goes into checkpoints, one a minute, of the largest state: network, Adam, EMA."""
    objective, network, optimiser = build("lautum", "MNIST", "conv32-64-fc1024")
    tensors = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "objective": objective.state_dict(),
    }
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            checkpoint.save(Path(folder) / "state.safetensors", tensors, {})
            shares.append((time.perf_counter() - began) / 60)
    return summary(
        "share of training time for a checkpoint a minute (MNIST shape, conv32-64-fc1024)", shares[1:], "<= 0.02"
    )


def build(
    name: str, shape: str, network_name: str, precision: str = "float32"
) -> tuple[source_only.Objective, Network, Adam]:
    """An objective over fresh data, its network and its optimiser."""
    network = networks.build(network_name, SHAPES[shape][0], 10, 0, precision).to(memory_format=torch.channels_last)
    if name == "two_stream":  # the reference, which is no objective of a configuration
        settings = mk_mmd.Settings(batch_size=BATCH)
        return two_stream.Objective(network, data(shape), settings, seed=0), network, Adam(network.parameters())
    objective = objectives.build(name, network, data(shape), PRETRAIN[name](batch_size=BATCH), seed=0)
    assert isinstance(objective, source_only.Objective)
    return objective, network, Adam(network.parameters())


def stepper(name: str, shape: str, network_name: str, precision: str = "float32") -> Callable[[], None]:
    """A function that does one training step as `lautum.training.loop` does, on one thread."""
    objective, network, optimiser = build(name, shape, network_name, precision)

    def step() -> None:
        torch.set_num_threads(1)
        loss = objective.step(0).loss
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step(1e-3, 0.9)

    return step


def ratio(what: str, first: Callable, second: Callable, rounds: int, steps: int, target: str = "") -> dict:
    """Time of `first` relative to `second`."""
    ratios = []
    for _ in range(rounds + 1):
        times = []
        for step in (first, second):
            began = time.perf_counter()
            for _ in range(steps):
                step()
            times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
    print(f"measured: {what}", file=sys.stderr, flush=True)
    return summary(what, ratios[1:], target)  # the first round warms up


def summary(what: str, values: list[float], target: str) -> dict:
    """Median and quartiles of repeated measurements."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {
        "what": what,
        "median": statistics.median(values),
        "low": low,
        "high": high,
        "n": len(values),
        "target": target,
    }


if __name__ == "__main__":
    main()
