"""One training loop for both stages of the paper's Figure 1.

What is trained on, and how, is the objective's business.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, ValidationError
from torch import Tensor, nn

from lautum.errors import LautumError
from lautum.schema import Strict, first_complaint
from lautum.seeds import generator
from lautum.training.checkpoint import Checkpoints, forms
from lautum.training.interruption import Interrupted, stop_requests
from lautum.training.networks import set_dropout_generator
from lautum.training.objective import Objective
from lautum.training.optimiser import Optimiser
from lautum.training.progress import progress


class Progress(Strict):
    """How far a stage has come, as its checkpoint says beside the tensors; each as in `Trained`."""

    step: NonNegativeInt
    curve: dict[str, list[int | float]]
    seconds: NonNegativeFloat
    images: NonNegativeInt
    resumed_at: list[NonNegativeInt]


@dataclass
class Trained:
    """The outcome of a stage."""

    step: int = 0  # optimiser steps done
    curve: dict[str, list[float]] = field(default_factory=dict)  # one value per logged step
    seconds: float = 0.0  # wall time in the loop, over all attempts
    images: int = 0  # labelled and unlabelled images processed
    resumed_at: list[int] = field(default_factory=list)  # steps at which earlier attempts were resumed
    # The network after some of the steps: step -> name -> weight.
    snapshots: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def progress(self) -> dict:
        """How far the stage has come, without tensors."""
        return {name: value for name, value in vars(self).items() if name != "snapshots"}


def train(
    network: nn.Module,
    objective: Objective,
    optimiser: Optimiser,
    clip_norm: float | None,
    seed: int,
    checkpoints: Checkpoints,
    snapshots: Collection[int] = (),
    log_points: int = 50,
) -> Trained:
    """Train `network` in place for `objective.steps` steps, from the last checkpoint on if there is one.

    Args:
        optimiser: of those of the network's parameters that are trained.
        clip_norm: bound on the gradient's L2 norm; None: no bound.
        seed: fixes the dropout noise.
        checkpoints: where the state is kept while the stage runs.
        snapshots: the steps after which the weights are kept beside those of the end.
        log_points: number of points on the training curve.

    Raises:
        LautumError: the loss or a weight is no longer finite, what the objective logs is no number or has the name of
            something that is logged here, or there can be no snapshots.
        ValueError: a checkpoint could not hold what the stage depends on.
        Interrupted: after SIGTERM or SIGUSR1.
    """
    if snapshots and type(objective).finish is not Objective.finish:
        raise LautumError(f"{checkpoints.name}: its network is made after the last step; it can have no snapshots")
    noise = generator("dropout", seed, device=next(network.parameters()).device)
    set_dropout_generator(network, noise)
    bound = math.inf if clip_norm is None else clip_norm
    clipped = torch.zeros((), device=noise.device)  # steps since the last logged one
    # What a checkpoint cannot hold is said now, not when the first one is due.
    forms(_state(network, optimiser, objective, noise, clipped))
    run = _resumed(checkpoints, snapshots, network, optimiser, objective, noise, clipped)
    name, earlier, began = checkpoints.name, run.seconds, time.perf_counter()

    def checkpoint() -> None:
        run.seconds = earlier + time.perf_counter() - began
        state = _state(network, optimiser, objective, noise, clipped)
        checkpoints.save(state | {"snapshots": run.snapshots}, run.progress())

    network.train()
    log_every = max(1, objective.steps // log_points)
    with stop_requests() as stop_requested, progress(name, run.step, objective.steps) as show:
        while run.step < objective.steps:
            rate, beta1 = objective.schedule(run.step)
            loss, images, scalars = objective.step(run.step)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(optimiser.parameters, bound)
            clipped += norm > bound
            optimiser.step(rate, beta1)
            run.step += 1
            run.images += images
            last = run.step == objective.steps
            if run.step % log_every == 0 or last:
                since = run.step - (run.curve["step"][-1] if run.curve else 0)
                point = {"step": run.step, "learning_rate": rate, "loss": loss.detach(), "gradient_norm": norm}
                point |= {"clipped_share": clipped / since}
                _log(run.curve, point, (scalars, objective.diagnostics()), name)
                clipped.zero_()
                show(run.step, run.curve["loss"][-1])
            if run.step in snapshots:
                run.snapshots[str(run.step)] = {name: weight.clone() for name, weight in network.state_dict().items()}
            if stop_requested() and not last:
                checkpoint()
                raise Interrupted(
                    f"{name}: stopped by {stop_requested()} after step {run.step} of {objective.steps}; "
                    f"run the same command again to go on from {checkpoints.path}"
                )
            if checkpoints.due():
                checkpoint()
    objective.finish()
    if not all(torch.isfinite(parameter).all() for parameter in network.parameters()):
        raise LautumError(
            f"{name}: a weight is not finite after the last step; lower learning_rate or the objective's weight"
        )
    run.seconds = earlier + time.perf_counter() - began
    return run


def _state(
    network: nn.Module, optimiser: Optimiser, objective: Objective, noise: torch.Generator, clipped: Tensor
) -> dict[str, Tensor | dict]:
    """Everything that the rest of a stage depends on."""
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    return state | {"objective": objective.state_dict(), "noise": noise.get_state(), "clipped": clipped}


def _resumed(
    checkpoints: Checkpoints,
    wanted: Collection[int],
    network: nn.Module,
    optimiser: Optimiser,
    objective: Objective,
    noise: torch.Generator,
    clipped: Tensor,
) -> Trained:
    """How far the stage has come; everything that trains is taken back to that state.

    A checkpoint that is not a state of this stage, with snapshots after the `wanted` steps, is passed over.
    """
    found = checkpoints.load()
    if found is None:
        return Trained()
    state = {"objective": {}, "clipped": clipped} | found[0]  # which earlier versions, and few objectives, do not keep
    snapshots, now = state.pop("snapshots", {}), _state(network, optimiser, objective, noise, clipped)
    try:
        made = Progress.model_validate(found[1], strict=True)
    except ValidationError as error:
        checkpoints.pass_over(first_complaint(error))
        return Trained()
    kept = {str(step): now["network"] for step in wanted if step <= made.step}
    if forms(state | {"snapshots": snapshots}) != forms(now | {"snapshots": kept}):
        checkpoints.pass_over("its tensors have other names, shapes or types")
        return Trained()
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    objective.load_state_dict(state["objective"])
    noise.set_state(state["noise"])
    clipped.copy_(state["clipped"])
    again = [*made.resumed_at, made.step]
    return Trained(made.step, made.curve, made.seconds, made.images, again, snapshots)


def _log(curve: dict[str, list[float]], point: dict[str, Any], said: tuple[dict, dict], name: str) -> None:
    """Add a point to the training curve, with what the objective has `said` beside the loop's own.

    Raises LautumError when a value is not finite or no number, two have one name, or it has other quantities than the
    points before it.
    """
    for own in said:
        if taken := sorted(point.keys() & own.keys()):
            raise LautumError(
                f"{name}: {', '.join(taken)} of the objective is logged already, by it or by the training loop; choose "
                "another name"
            )
        point = point | own
    if curve and (differing := sorted(curve.keys() ^ point.keys())):
        raise LautumError(
            f"{name}: {', '.join(differing)} must be logged at every step or at none; steps {curve['step'][-1]} and "
            f"{point['step']} differ in it"
        )
    for key, value in point.items():
        if not _is_number(value):
            raise LautumError(f"{name}: {key} is logged, but is no number: {' '.join(repr(value).split())[:80]}")
        number = value if isinstance(value, int) else float(value)
        if not math.isfinite(number):
            raise LautumError(
                f"{name}: {key} is {number} at step {point['step']}; lower learning_rate or the objective's weight"
            )
        curve.setdefault(key, []).append(number)


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return np.size(value) == 1 and np.asarray(value).dtype.kind in "biuf"
