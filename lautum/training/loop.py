"""One training loop for both stages of the paper's Figure 1.

What is trained on, and how, is the objective's business.
"""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.seeds import generator
from lautum.training import checkpoint
from lautum.training.networks import set_dropout_generator
from lautum.training.optimiser import Adam


@dataclass(frozen=True)
class Labelled:
    """Images with labels, resident on the device."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)


@dataclass(frozen=True)
class StageData:
    """What a training stage may see: never the test set, never the label of an image that counts as unlabelled.

    For the upper bound, `supervised_all_labels`, every target training image counts as labelled.
    """

    transform: InputTransform
    labelled: Labelled  # the source training set (pre-transfer) or the labelled target images (post-transfer)
    unlabelled: Tensor | None = None  # uint8 (U, C, H, W), the unlabelled target images


class ShuffledBatches:
    """Endless index batches: a fresh permutation each pass, whose last, incomplete batch is dropped.

    A batch size above `count` means full batches.
    """

    def __init__(self, count: int, batch_size: int, device: torch.device, *axes: str | int):
        self.generator = generator("batch order", *axes)
        self.batch_size = min(batch_size, count)
        self.order = torch.randperm(count, generator=self.generator).to(device)
        self.position = 0

    def next(self) -> Tensor:
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.order), generator=self.generator).to(self.order.device)
            self.position = 0
        self.position += self.batch_size
        return self.order[self.position - self.batch_size : self.position]

    def state(self) -> dict[str, Tensor]:
        return {"order": self.order, "position": torch.tensor(self.position), "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.order = state["order"].to(self.order.device)
        self.position = int(state["position"])
        self.generator.set_state(state["generator"])


class Objective(Protocol):
    """What an objective file's class `Objective` provides.

    It is built as `Objective(network, data, settings, seed)`.
    """

    steps: int

    def schedule(self, step: int) -> tuple[float, float]:
        """Adam's learning rate and beta1 at `step`."""

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one step and the scalars to log beside it; called once per step, in order."""

    def diagnostics(self) -> dict[str, float]:
        """Further scalars, computed only when a line of the training curve is written."""

    def state(self) -> dict[str, Tensor]:
        """Everything that the next call of `loss` depends on apart from network, optimiser and dropout."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""


class Interrupted(LautumError):
    """The stage was asked to stop; its checkpoint is written and the same command goes on from there."""


@dataclass
class Trained:
    """The outcome of a stage."""

    curve: dict[str, list[float]]  # one value per logged step
    seconds: float  # wall time in the loop, over all attempts
    images: int  # labelled and unlabelled images processed
    resumed_at: list[int] = field(default_factory=list)  # steps at which earlier attempts were resumed


def train(
    network: nn.Module,
    objective: Objective,
    clip_norm: float,
    seed: int,
    checkpoint_path: Path,
    identity: str,
    name: str,
    checkpoint_seconds: float = 60.0,
    log_points: int = 50,
) -> Trained:
    """Train `network` in place for `objective.steps` steps of Adam and return the training curve.

    Args:
        clip_norm: bound on the gradient's L2 norm.
        seed: fixes the dropout noise.
        checkpoint_path: where the state is kept while the stage runs; removed by the caller once the result is safe.
            A damaged one is passed over.
        identity: what the checkpoint must have been written for; another one is passed over.
        name: shown beside the progress.
        checkpoint_seconds: at least this long between two checkpoints.
        log_points: number of points on the training curve.

    Raises:
        LautumError: the loss or a weight is no longer finite.
        Interrupted: after SIGTERM or SIGUSR1.
    """
    device = next(network.parameters()).device
    noise = generator("dropout", seed, device=device)
    set_dropout_generator(network, noise)
    optimiser = Adam(network)
    curve: dict[str, list[float]] = {}
    run = Trained(curve, 0.0, 0)

    def snapshot(step: int) -> None:
        parts = {
            "network": network.state_dict(),
            "optimiser": optimiser.state(),
            "objective": objective.state(),
            "noise": {"state": noise.get_state()},
        }
        tensors = {f"{part}/{key}": value for part, values in parts.items() for key, value in values.items()}
        progress = {"step": step, "curve": curve, "seconds": run.seconds + time.perf_counter() - began}
        progress |= {"images": run.images, "resumed_at": run.resumed_at, "identity": identity}
        checkpoint.save(checkpoint_path, tensors, progress)

    first = 0
    saved_state = _checkpoint(checkpoint_path, identity, name)
    if saved_state is not None:
        tensors, progress = saved_state

        def part(prefix: str) -> dict[str, Tensor]:
            return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + "/")}

        network.load_state_dict(part("network"))
        optimiser.restore(part("optimiser"))
        objective.restore(part("objective"))
        noise.set_state(part("noise")["state"])
        first = progress["step"]
        curve.update(progress["curve"])
        run.seconds, run.images, run.resumed_at = (
            progress["seconds"],
            progress["images"],
            [*progress["resumed_at"], first],
        )

    network.train()
    log_every = max(1, objective.steps // log_points)
    began = saved = time.perf_counter()
    with _stop_requests() as stop_requested, _progress(name, first, objective.steps) as show:
        for step in range(first, objective.steps):
            rate, beta1 = objective.schedule(step)
            loss, scalars = objective.loss(step)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
            optimiser.step(rate, beta1)
            run.images += int(scalars.pop("images"))
            if (step + 1) % log_every == 0 or step + 1 == objective.steps:
                point = {
                    "step": step + 1,
                    "learning_rate": rate,
                    "loss": float(loss.detach()),
                    "gradient_norm": float(norm),
                }
                point |= {key: float(value) for key, value in scalars.items()} | objective.diagnostics()
                _require_finite(point, name)
                for key, value in point.items():
                    curve.setdefault(key, []).append(value)
                show(step + 1, point["loss"])
            if stop_requested() and step + 1 < objective.steps:
                snapshot(step + 1)
                raise Interrupted(
                    f"{name}: stopped by {stop_requested()} after step {step + 1} of {objective.steps}; "
                    f"run the same command again to go on from {checkpoint_path}"
                )
            if time.perf_counter() - saved > checkpoint_seconds:
                snapshot(step + 1)
                saved = time.perf_counter()
    if not all(torch.isfinite(parameter).all() for parameter in network.parameters()):
        raise LautumError(
            f"{name}: a weight is not finite after the last step; lower learning_rate or the objective's weight"
        )
    run.seconds += time.perf_counter() - began
    return run


def _checkpoint(path: Path, identity: str, name: str) -> tuple[dict[str, Tensor], dict] | None:
    """The checkpoint of this run; None without one, or when it is damaged or another run's: then from the start."""
    if not path.exists():
        return None
    try:
        tensors, progress = checkpoint.load(path)
    except Damaged as error:
        print(f"{name}: {error}; starting from the first step", file=sys.stderr, flush=True)
        return None
    if progress.get("identity") != identity:
        print(f"{name}: {path} belongs to another run; starting from the first step", file=sys.stderr, flush=True)
        return None
    return tensors, progress


def _require_finite(point: dict[str, float], name: str) -> None:
    for key, value in point.items():
        if not math.isfinite(value):
            raise LautumError(
                f"{name}: {key} is {value} at step {point['step']}; lower learning_rate or the objective's weight"
            )


@contextmanager
def _stop_requests() -> Iterator[Callable[[], str | None]]:
    """While inside, SIGTERM and SIGUSR1, which schedulers send before a kill, are remembered, not obeyed."""
    received: list[str] = []
    signals = (signal.SIGTERM, signal.SIGUSR1)
    previous = [signal.signal(number, lambda n, _: received.append(signal.Signals(n).name)) for number in signals]
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def _progress(name: str, first: int, total: int) -> Iterator[Callable[[int, float], None]]:
    """A bar on a terminal; in a log, a plain line at most every ten seconds and at the end."""
    if sys.stderr.isatty():
        with tqdm(desc=name, initial=first, total=total, unit="step") as bar:

            def show(step: int, loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update(step - bar.n)

            yield show
    else:
        last = [time.perf_counter()]

        def show(step: int, loss: float) -> None:
            if time.perf_counter() - last[0] > 10 or step == total:
                last[0] = time.perf_counter()
                print(f"{name}: step {step}/{total}, loss {loss:.4f}", file=sys.stderr, flush=True)

        yield show
