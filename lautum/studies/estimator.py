"""How well the running estimate of Lautum information works, where the truth is known: `snakemake estimator_study`.

Inputs x of 200 dimensions and outputs w of K = 10 are jointly Gaussian with chosen canonical correlations, so that
L(x; w) has a closed form. A `LautumRegularizer` sees a pool and then batches of them, as in training, and its value is
compared with the truth while batch size, decay alpha, rank r and ridge move one at a time from their defaults.

- *still*: the correlations stay what they are; bias and spread of the value once the pool is forgotten.
- *moving*: the correlations grow over 1,000 steps, as in training; how far the value lags behind.
- *gradient*: outputs depend on parameters; the estimate's gradient against the exact one, with the whole gradient
  passed through the batch (straight-through, what is used) and with that of a literal moving average, 1 - alpha of it.

Every number is a mean over independent repetitions with its standard deviation. Nothing here is tuned on data.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from lautum.averaging import effective_samples
from lautum.files import write_text
from lautum.information import lautum_information
from lautum.objectives import PRETRAIN
from lautum.regularizer import LautumRegularizer
from lautum.report import page, style
from lautum.report.page import Section
from lautum.report.style import STYLES, WIDTH
from lautum.seeds import generator

FOLDER = Path("reports/estimator")
D, K, POOL = 200, 10, 5000
DEFAULTS = {"batch_size": 128} | {
    name: PRETRAIN["lautum"].model_fields[name].default for name in ("decay", "rank", "ridge")
}
SWEEPS = {
    "batch_size": [32, 64, 128, 256, 512],
    "decay": [0.8, 0.9, 0.95, 0.99, 0.995],
    "rank": [10, 25, 50, 100, 200],
    "ridge": [1e-4, 1e-3, 1e-2, 1e-1],
}
WORLDS = {"independent": 0.0, "weak": 0.3, "medium": 0.6, "strong": 0.9}  # the largest of K correlations, evenly spaced
LABELS = {"batch_size": "Batch size B", "decay": "Decay alpha", "rank": "Rank r", "ridge": "Ridge (share of tr(Sw)/K)"}


def correlations(largest: float) -> Tensor:
    """K canonical correlations from `largest` down to a tenth of it, float64."""
    return torch.linspace(largest, largest / 10, K, dtype=torch.float64)


def truth(rho: Tensor) -> float:
    """L in nats from canonical correlations (see `lautum.information`)."""
    return float((rho**2 / (1 - rho**2) + torch.log1p(-(rho**2)) / 2).sum())


def draw(count: int, rho: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (count, D) and outputs (count, K), float32: the leading K inputs are those that outputs go with.

    The variances of the inputs fall off, but slowly: the leading K principal components of a pool are not quite those
    inputs, so that a rank near K loses information, as it may with images.
    """
    x = torch.randn(count, D, generator=noise)
    w = rho.float() * x[:, :K] + (1 - rho**2).sqrt().float() * torch.randn(count, K, generator=noise)
    return x * torch.linspace(10, 1, D), w


def still(settings: dict, rho: Tensor, repetition: int) -> float:
    """The value after the pool has been forgotten (five time constants of the average)."""
    noise = generator("estimator study", "still", repetition)
    regularizer = _regularizer(settings, rho, noise)
    steps = int(5 / (1 - settings["decay"])) + 1
    with torch.no_grad():
        for _ in range(steps):
            value = regularizer(*draw(settings["batch_size"], rho, noise))
    return float(value)


def moving(settings: dict, largest: float, repetition: int, steps: int = 1000) -> float:
    """The value after the correlations have grown evenly from zero to `largest` over `steps` steps."""
    noise = generator("estimator study", "moving", repetition)
    regularizer = _regularizer(settings, correlations(0.0), noise)
    with torch.no_grad():
        for step in range(1, steps + 1):
            value = regularizer(*draw(settings["batch_size"], correlations(largest * step / steps), noise))
    return float(value)


class LiteralAverage(LautumRegularizer):
    """The estimate as a literal reading has it: differentiated through the moving average itself."""

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        average = torch.lerp(self._joint_covariance(inputs, outputs), self.covariance, self.decay)
        self.covariance = average.detach()
        return self.information(*self._blocks(average))


def gradients(kind: type, decay: float, repetition: int, steps: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (steps, K * K) estimated by a regulariser of class `kind`, and the exact one (K * K,), of L by A.

    L is that of x and w = x A + noise.
    """
    noise = generator("estimator study", "gradient", repetition)
    a = 0.2 * torch.randn(K, K, generator=generator("estimator study", "parameters"))
    a.requires_grad_()

    def outputs(x: Tensor) -> Tensor:
        return x[:, :K] / torch.linspace(10, 1, D)[:K] @ a + torch.randn(len(x), K, generator=noise)

    def inputs(count: int) -> Tensor:
        return torch.randn(count, D, generator=noise) * torch.linspace(10, 1, D)

    eye = torch.eye(K, dtype=torch.float64)
    wide = a.double()
    (exact,) = torch.autograd.grad(lautum_information(eye, wide.T @ wide + eye, wide), a)
    pool = inputs(POOL)
    with torch.no_grad():
        regularizer = kind(pool, outputs(pool), DEFAULTS["rank"], decay, DEFAULTS["ridge"])
    found = []
    for _ in range(steps):
        batch = inputs(DEFAULTS["batch_size"])
        (gradient,) = torch.autograd.grad(regularizer(batch, outputs(batch)), a)
        found.append(gradient.flatten().numpy())
    return np.array(found), exact.flatten().numpy()


def values_table(repetitions: int, show) -> pd.DataFrame:
    """One row for each world, setting and kind (still, moving): truth, mean, standard deviation, bias, in nats."""
    rows = []
    for varied, choices in SWEEPS.items():
        for choice in choices:
            settings = DEFAULTS | {varied: choice}
            held = effective_samples(settings["batch_size"], settings["decay"])
            for world, largest in WORLDS.items():
                for kind in ("still", "moving") if largest else ("still",):
                    rho = correlations(largest)
                    found = [
                        still(settings, rho, n) if kind == "still" else moving(settings, largest, n)
                        for n in range(repetitions)
                    ]
                    row = {"varied": varied, "value": choice, "kind": kind, "world": world, "n_effective": held}
                    row |= {"truth": truth(rho), "mean": np.mean(found), "sd": np.std(found, ddof=1)}
                    rows.append(row | {"bias": np.mean(found) - truth(rho), "repetitions": repetitions})
                    show()
            tqdm.write(f"{varied} = {choice}: done", file=sys.stderr)
    return pd.DataFrame(rows)


def gradients_table(repetitions: int) -> pd.DataFrame:
    """For each decay: the share of the exact gradient that the mean estimate has, and a single one's cosine with it."""
    rows = []
    for decay in (0.0, 0.5, 0.9, 0.99):
        for kind, name in ((LautumRegularizer, "through the batch"), (LiteralAverage, "through the average")):
            runs = [gradients(kind, decay, n) for n in range(repetitions)]
            exact = runs[0][1]
            shares = [float(found.mean(axis=0) @ exact / (exact @ exact)) for found, _ in runs]
            cosines = [found @ exact / np.linalg.norm(found, axis=1) / np.linalg.norm(exact) for found, _ in runs]
            row = {"decay": decay, "gradient": name, "share": np.mean(shares), "share_sd": np.std(shares, ddof=1)}
            rows.append(row | {"cosine": np.mean(cosines), "repetitions": repetitions})
    return pd.DataFrame(rows)


def bias_figure(values: pd.DataFrame, kind: str) -> Figure:
    """Estimate minus truth against each varied setting, a line per world."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    values = pd.DataFrame(values[values["kind"] == kind])
    panels = figure.subplots(2, 2, sharey=True).flat
    for axes, varied in zip(panels, map(str, values["varied"].unique()), strict=True):
        rows = pd.DataFrame(values[values["varied"] == varied])
        places = np.empty(0)
        for world in rows["world"].unique():
            line = pd.DataFrame(rows[rows["world"] == world])
            colour, marker, dashes = STYLES[list(WORLDS).index(world)]
            label = f"{world}, L = {line['truth'].to_numpy()[0]:.2f}"
            look = {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4, "capsize": 2}
            places = _position(varied, line["value"])
            axes.errorbar(places, line["bias"], line["sd"], label=label, **look)
        axes.axhline(0, color="0.4", linewidth=0.8)
        axes.axvline(_position(varied, DEFAULTS[varied]), color="0.7", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.1)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(places, [f"{choice:g}" for choice in SWEEPS[varied]])
        axes.minorticks_off()
        axes.set_xlabel(LABELS[varied], fontsize="small")
        axes.tick_params(labelsize="small")
        style.add_grid(axes)
    figure.supylabel("Estimate - truth (nats; mean and standard deviation)", fontsize="small")
    title = "correlations that stay" if kind == "still" else "correlations that grow over 1,000 steps"
    figure.suptitle(f"Estimated Lautum information, {title}", fontsize="medium")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def main() -> None:
    """Write values.csv, gradients.csv, the figures and a page to reports/estimator/."""
    parser = argparse.ArgumentParser(prog="python -m lautum.studies.estimator", description=str(__doc__).split(":")[0])
    parser.add_argument("--repetitions", type=int, default=10, help="of each setting (default: %(default)s)")
    parser.add_argument("--draw", action="store_true", help="only figures and page, from the tables that are there")
    options = parser.parse_args()
    if not options.draw:
        measure(options.repetitions)
    print(draw_all(*(pd.read_csv(FOLDER / f"{name}.csv") for name in ("values", "gradients"))))


def measure(repetitions: int) -> None:
    """Write values.csv and gradients.csv."""
    torch.set_num_threads(1)
    total = sum(map(len, SWEEPS.values())) * (2 * len(WORLDS) - 1)
    with tqdm(total=total, desc="settings", disable=not sys.stderr.isatty()) as bar:
        values = values_table(repetitions, bar.update)
    gradient = gradients_table(repetitions)
    for name, table in (("values", values), ("gradients", gradient)):
        write_text(FOLDER / f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.5g"))


def draw_all(values: pd.DataFrame, gradients: pd.DataFrame) -> Path:
    """Write figures and page of the two tables; returns the path of the page."""
    drawn = {kind: bias_figure(values, kind) for kind in ("still", "moving")}
    style.write(drawn, FOLDER)
    usual = values[(values["varied"] == "batch_size") & (values["value"] == DEFAULTS["batch_size"])]
    off = {}
    for kind in drawn:
        rows = pd.DataFrame(usual[usual["kind"] == kind])
        found = zip(rows["bias"], rows["world"], rows["truth"], strict=True)
        off[kind] = ", ".join(f"{bias:+.2f} ({world}, {true:.2f})" for bias, world, true in found)
    line = f"At the default settings the estimate is off by {off['still']} nats; in brackets the world and its true L."
    captions = {
        "still": "Correlations that stay: bias once the pool is forgotten.",
        "moving": "Correlations that grow over 1,000 steps: how far the value lags behind.",
    }
    sections = [
        Section(
            kind,
            captions[kind].split(":")[0],
            page.picture(
                drawn[kind], kind, f"Estimate minus truth at the default settings: {off[kind]}.", captions[kind]
            ),
        )
        for kind in drawn
    ]
    about = "Share of the exact gradient that the mean estimate has, and the cosine of a single one with it."
    sections.append(Section("gradient", "Gradient", page.data_frame(gradients, about)))
    sections.append(Section("values", "All values", page.data_frame(values, "In nats."), folded=True))
    return page.write(
        FOLDER / "index.html",
        title="The running estimate of Lautum information where the truth is known",
        question="How far is the estimate from the true Lautum information?",
        line=line,
        card=page.parts().paragraphs([line]),
        sections=sections,
        thumbnail="still.png",
    )


def _position(varied: str, value):
    """Where a setting is drawn: a decay by how many batches it averages."""
    return 1 / (1 - value) if varied == "decay" else value


def _regularizer(settings: dict, rho: Tensor, noise: torch.Generator) -> LautumRegularizer:
    return LautumRegularizer(*draw(POOL, rho, noise), settings["rank"], settings["decay"], settings["ridge"])


if __name__ == "__main__":
    main()
