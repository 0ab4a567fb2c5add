"""Both training stages once more, written plainly: what the suite's loop and objectives must agree with.

From the paper's equations and those of the methods it compares: explicit inverses, one kernel and one image at a time,
`torch.optim.Adam`. All that is shared with the suite is the names of the random streams.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, repeat
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.seeds import derive
from lautum.training.networks import Dropout

KEEP = 0.75  # probability that dropout keeps a feature
# Domain Separation Networks (Bousmalis et al. 2016).
KERNELS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6)
SOURCE_POOL = 12  # images; in place of the 5,000 of `lautum_source`, which are more than a test has


class Tiny(nn.Module):
    """A network for the suite's loop: eight tanh features with dropout of 36 pixels, three logits."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.body, self.dropout, self.head = nn.Linear(36, 8), Dropout(1 - KEEP), nn.Linear(8, 3)

    def features(self, x: Tensor) -> Tensor:
        return self.dropout(self.body(x.flatten(1)).tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Stream(NamedTuple):
    """A batch and what the network makes of it."""

    inputs: Tensor
    features: Tensor
    logits: Tensor


class Step(NamedTuple):
    """One step of a stage: what is minimised, what is logged, and what Adam is told."""

    loss: Tensor
    images: int
    scalars: dict[str, Tensor | float]
    rate: float
    beta1: float = 0.9


class Stage:
    """What the objectives below are written with: `Tiny`'s weights, the data, and the random streams by their names."""

    def __init__(self, data, settings, seed: int):
        self.weights = {name: weight.detach().clone().requires_grad_() for name, weight in Tiny().named_parameters()}
        self.data, self.settings, self.seed = data, settings, seed
        self.noise = self.stream("dropout")

    def stream(self, *axes: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(*axes, self.seed))

    def inputs(self, images: Tensor, augmentation: torch.Generator | None = None) -> Tensor:
        if augmentation is not None:
            flips = torch.randint(2, (len(images), 1), generator=augmentation)
            places = torch.randint(9, (2, len(images), 1), generator=augmentation)
            images = torch.stack([crop(*each) for each in zip(images, flips, *places, strict=True)])
        return (images.double() - self.data.transform.mean) / self.data.transform.std

    def network(self, inputs: Tensor, dropout: bool = True) -> Stream:
        features = torch.tanh(inputs.flatten(1) @ self.weights["body.weight"].T + self.weights["body.bias"])
        if dropout:
            features = features * torch.empty(len(inputs), 8).bernoulli_(KEEP, generator=self.noise) / KEEP
        return Stream(inputs, features, features @ self.weights["head.weight"].T + self.weights["head.bias"])

    def pool(self, images: Tensor) -> Stream:
        """Images as the moving average starts from them: neither augmentation nor dropout."""
        with torch.no_grad():
            return self.network(self.inputs(images), dropout=False)

    def orders(self, count: int, name: str) -> Iterator[Tensor]:
        """A permutation for each pass."""
        generator = self.stream("batch order", name)
        while True:
            yield torch.randperm(count, generator=generator)

    def batches(self, images: Tensor, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs, augmented, and their images' numbers; what does not fill a batch is dropped."""
        augmentation, size = self.stream("augmentation", name), self.settings.batch_size
        for order in self.orders(len(images), name):
            for start in range(0, len(order) - size + 1, size):
                index = order[start : start + size]
                yield self.inputs(images[index], augmentation), index


def crop(image: Tensor, flip: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """An image of its own size out of the padded one, then mirrored if `flip`."""
    _, height, width = image.shape
    part = F.pad(image, (4, 4, 4, 4))[:, top : top + height, left : left + width]
    return part.flip(-1) if flip else part


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]


Term = Callable[[Stream, Stream], tuple[Tensor | float, dict[str, Tensor | float]]]


def supervised(
    stage: Stage, labelled: str = "labelled", unlabelled: str | None = None, term: Term = lambda *_: (0.0, {})
) -> Iterator[Step]:
    """Mean cross-entropy of the labelled stream + `term` of both, which go through the network in one batch."""
    others = repeat((torch.empty(0, 1, 6, 6), None))
    if unlabelled is not None:
        others = stage.batches(stage.data.unlabelled, unlabelled)
    for (inputs, index), (other, _) in zip(stage.batches(stage.data.labelled.images, labelled), others, strict=False):
        both, labels, cut = stage.network(torch.cat([inputs, other])), stage.data.labelled.labels[index], len(inputs)
        first, second = (Stream(*(part[half] for part in both)) for half in (slice(cut), slice(cut, None)))
        cross_entropy = cross_entropies(first.logits, labels).mean()
        added, scalars = term(first, second)
        if labelled == "source":
            accuracy = (first.logits.argmax(dim=1) == labels).double().mean()
            scalars = scalars | {"source_cross_entropy": cross_entropy, "source_accuracy": accuracy}
        elif unlabelled is not None:
            scalars = scalars | {"cross_entropy": cross_entropy}
        yield Step(cross_entropy + added, len(both.inputs), scalars, stage.settings.learning_rate)


def entropy(stage: Stage) -> Iterator[Step]:
    def term(source: Stream, target: Stream):
        p = target.logits.softmax(dim=1)
        value = (-p * p.log()).sum() / len(p)
        return stage.settings.weight * value, {"target_entropy": value}

    return supervised(stage, "source", "target", term)


def mk_mmd(stage: Stage) -> Iterator[Step]:
    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = (a[:, None] - b[None]).square().sum(dim=2)
        return torch.stack([torch.exp(-squared / (2 * variance)).mean() for variance in KERNELS]).sum()

    def term(source: Stream, target: Stream):
        s, t = source.features, target.features
        value = mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)
        return stage.settings.weight * value, {"mmd": value}

    return supervised(stage, "source", "target", term)


class Information:
    """L (or I) of whitened leading components and outputs: value of the joint moving average, gradient of the batch."""

    def __init__(self, settings, inputs: Tensor, outputs: Tensor, mutual: bool):
        self.settings, self.mutual = settings, mutual
        pixels = inputs.flatten(1)
        self.mean = pixels.mean(dim=0)
        _, lengths, directions = torch.linalg.svd(pixels - self.mean, full_matrices=False)
        self.whitening = (directions.T / lengths * math.sqrt(len(pixels) - 1))[:, : settings.rank]
        self.average = self.covariance(inputs, outputs)

    def covariance(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        return torch.cov(torch.cat([(inputs.flatten(1) - self.mean) @ self.whitening, outputs], dim=1).T)

    def blocks(self, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r = self.settings.rank
        w = covariance[r:, r:]
        w = w + self.settings.ridge * w.trace() / len(w) * torch.eye(len(w))
        return covariance[:r, :r].inverse(), w, covariance[:r, r:]

    def __call__(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        batch, decay = self.covariance(inputs, outputs), self.settings.decay
        self.average = decay * self.average + (1 - decay) * batch.detach()
        inverse_x, w, xw = self.blocks(self.average + batch - batch.detach())
        conditional = w - xw.T @ inverse_x @ xw
        half_ratio = (conditional.det() / w.det()).log() / 2
        return -half_ratio if self.mutual else half_ratio + (conditional.inverse() @ w).trace() - len(w)

    def rho_max(self) -> Tensor:
        inverse_x, w, xw = self.blocks(self.average)
        return torch.linalg.eigvals(inverse_x @ xw @ w.inverse() @ xw.T).real.max().sqrt()


def lautum(
    stage: Stage,
    pair: Callable[[Stream], tuple[Tensor, Tensor]] = lambda stream: (stream.inputs, stream.logits),
    mutual: bool = False,
    streams: tuple[str, str | None] = ("source", "target"),
) -> Iterator[Step]:
    """Eq. 2 and its variants; without a second stream the term is taken on the first."""
    pool = stage.data.unlabelled
    if streams[1] is None:
        pool = stage.data.labelled.images[next(stage.orders(len(stage.data.labelled.images), streams[0]))[:SOURCE_POOL]]
    information = Information(stage.settings, *pair(stage.pool(pool)), mutual)
    name, sign = ("mutual_information", 1) if mutual else ("lautum_information", -1)

    def term(first: Stream, second: Stream):
        value = information(*pair(first if streams[1] is None else second))
        return sign * stage.settings.weight * value, {name: value, "rho_max": information.rho_max()}

    return supervised(stage, *streams, term)


def lautum_shuffled(stage: Stage) -> Iterator[Step]:
    generator = stage.stream("shuffled inputs")

    def pair(stream: Stream) -> tuple[Tensor, Tensor]:
        """Along a random cycle, each image's logits with the inputs of the one before it."""
        inputs, cycle = stream.inputs.clone(), torch.randperm(len(stream.inputs), generator=generator).tolist()
        for place, number in enumerate(cycle):
            inputs[number] = stream.inputs[cycle[place - 1]]
        return inputs, stream.logits

    return lautum(stage, pair)


def temporal_ensembling(stage: Stage) -> Iterator[Step]:
    """Algorithm 1 of Laine & Aila 2017 with the ramps of their appendix A."""
    settings, labelled, epochs = stage.settings, len(stage.data.labelled.labels), stage.settings.epochs
    images = torch.cat([stage.data.labelled.images, stage.data.unlabelled])
    augmentation, decay = stage.stream("augmentation", "temporal ensembling"), settings.ensemble_decay
    ensemble = target = torch.zeros(len(images), 3)
    for epoch, order in enumerate(islice(stage.orders(len(images), "temporal ensembling"), epochs)):
        rising, falling = epoch / (settings.ramp_up * epochs), (epochs - epoch) / (settings.ramp_down * epochs)
        up, down = math.exp(-5 * (1 - min(rising, 1)) ** 2), math.exp(-12.5 * (1 - min(falling, 1)) ** 2)
        weight = settings.weight * labelled / len(images) * up if epoch else 0.0
        z = torch.zeros_like(ensemble)
        batches = list(order.split(settings.batch_size))
        if len(batches[-1]) == 1:  # which goes with those before it
            batches[-2:] = [torch.cat(batches[-2:])]
        for index in batches:
            logits = stage.network(stage.inputs(images[index], augmentation)).logits
            known = index < labelled
            cross_entropy = cross_entropies(logits[known], stage.data.labelled.labels[index[known]]).sum() / len(index)
            consistency = (logits.softmax(dim=1) - target[index]).square().mean()
            z[index] = logits.detach().softmax(dim=1)
            scalars = {"cross_entropy": cross_entropy, "consistency": consistency, "consistency_weight": weight}
            rate, beta1 = settings.learning_rate * up * down, 0.5 + 0.4 * down
            yield Step(cross_entropy + weight * consistency, len(index), scalars, rate, beta1)
        ensemble = decay * ensemble + (1 - decay) * z
        target = ensemble / (1 - decay ** (epoch + 1))


OBJECTIVES: dict[str, Callable[[Stage], Iterator[Step]]] = {
    "untrained": lambda stage: iter(()),
    "source_only": partial(supervised, labelled="source"),
    "entropy": entropy,
    "mk_mmd": mk_mmd,
    "lautum": lautum,
    "lautum_features": partial(lautum, pair=lambda stream: (stream.inputs, stream.features)),
    "lautum_shuffled": lautum_shuffled,
    "lautum_source": partial(lautum, streams=("source", None)),
    "mutual_information": partial(lautum, mutual=True),
    "supervised": supervised,
    "supervised_all_labels": supervised,
    "supervised_lautum": partial(lautum, streams=("labelled", "unlabelled")),
    "temporal_ensembling": temporal_ensembling,
}


def train(name: str, data, settings, seed: int) -> tuple[dict[str, Tensor], dict[str, list[float]], int]:
    """Train `Tiny` with objective `name`: its weights, each step's values by name, and how many images it was shown."""
    stage = Stage(data, settings, seed)
    weights, curve, images = list(stage.weights.values()), {}, 0
    optimiser: torch.optim.Optimizer = torch.optim.Adam(weights, weight_decay=settings.weight_decay)
    if settings.optimiser == "sgd":
        optimiser = torch.optim.SGD(weights, 1.0, settings.momentum, weight_decay=settings.weight_decay)
    steps = getattr(settings, "steps", None)
    if getattr(settings, "labelled_epochs", None):
        steps = settings.labelled_epochs * (len(data.labelled.labels) // settings.batch_size)
    # Temporal Ensembling has epochs and ends by itself.
    for number, step in enumerate(islice(OBJECTIVES[name](stage), steps), start=1):
        optimiser.param_groups[0]["lr"] = step.rate
        if settings.optimiser == "adam":
            optimiser.param_groups[0]["betas"] = step.beta1, 0.999
        optimiser.zero_grad()
        step.loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, settings.clip_norm or float("inf"))
        optimiser.step()
        images += step.images
        point = {"step": number, "learning_rate": step.rate, "loss": step.loss, "gradient_norm": norm}
        point["clipped_share"] = float(settings.clip_norm is not None and norm > settings.clip_norm)
        for key, value in (point | step.scalars).items():
            curve.setdefault(key, []).append(float(value.detach() if isinstance(value, Tensor) else value))
    return {name: weight.detach() for name, weight in stage.weights.items()}, curve, images
