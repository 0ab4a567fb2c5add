"""What the README shows is what the committed records give, and its example runs."""

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_as_printed():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    names = {
        "network": network,
        "pool": torch.randn(500, 1, 8, 8),
        "source_batches": [(torch.randn(32, 1, 8, 8), torch.randint(10, (32,))) for _ in range(3)],
        "target_batches": [torch.randn(32, 1, 8, 8) for _ in range(3)],
        "optimiser": torch.optim.SGD(network.parameters(), lr=0.1),
    }
    before = network[1].weight.detach().clone()
    exec(code, names)
    assert names["loss"].isfinite()
    assert not torch.equal(network[1].weight, before)


def test_every_file_and_target_that_is_named_exists():
    named = set(
        re.findall(
            r"(?:config|reports|docs|profiles|lautum|results|tests)/[\w./-]+\w\.(?:yaml|md|py|png|csv|html|json)\b",
            README,
        )
    )
    assert len(named) > 15
    made = {path for path in named if path.startswith("reports/quickstart/")}
    assert [path for path in sorted(named - made) if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"\bmake (\w+)", README))
    rules = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"quickstart", "test", "bench", "coverage", "faults", "slurm"} <= targets <= rules


@pytest.mark.parametrize("name", ["accuracy", "claims"])
def test_the_tables_are_those_rendered_from_the_records(name):
    rendered = (ROOT / f"reports/published/{name}.md").read_text(encoding="utf-8")
    table, _, caption = rendered.partition("\n\n")
    assert table in README
    assert caption.strip() in README


def shows(*numbers: str) -> bool:
    """Whether a paragraph of the README has these numbers in this order, whatever the words between them."""
    pattern = ".*?".join(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)" for number in numbers)
    return any(re.search(pattern, " ".join(paragraph.split())) for paragraph in re.split(r"\n\n|\n(?=[*-] )", README))


def test_runs_of_the_published_campaign_were_repeated_to_the_byte():
    runs = [pd.read_csv(ROOT / f"reports/{name}/records.csv") for name in ("published", "controls")]
    both = runs[0].merge(runs[1], on=["task", "method", "labels", "seed"], suffixes=("", "_again"))
    assert shows(str(len(both)))
    assert (both["predictions_sha256"] == both["predictions_sha256_again"]).all()
    assert set(both["torch"]) == {"2.15.0+cu132"} and set(both["torch_again"]) == {"2.14.1+cu130"}


def tenths(share: float) -> str:
    """In points with one decimal; halves, which shares of 1,000 images often are, go away from zero."""
    points = Decimal(f"{100 * share:.6f}").quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return f"{points:+}".replace("-", "−")


def differences(campaign: str, task: str, method: str, baseline: str) -> tuple[list[str], list[str]]:
    """Means and intervals of a comparison at each label count, in points, as the README writes them."""
    table = pd.read_csv(ROOT / f"reports/{campaign}/differences.csv")
    rows = table[(table["task"] == task) & (table["method"] == method) & (table["baseline"] == baseline)]
    points = rows[["mean", "low", "high"]].map(tenths)
    return points["mean"].tolist(), [
        f"[{low}, {high}]" for low, high in zip(points["low"], points["high"], strict=True)
    ]


def in_turn(means: list[str], intervals: list[str]) -> list[str]:
    return [text for pair in zip(means, intervals, strict=True) for text in pair]


def test_the_verdicts_of_the_headline_are_those_of_the_records():
    table = pd.read_csv(ROOT / "reports/published/differences.csv")
    lautum = table[(table["method"] == "lautum") & (table["baseline"] == "standard")]
    assert len(lautum) == 6 and set(lautum["size"]) == {"differs"}
    (only,) = lautum[(lautum["low"] > 0) | (lautum["high"] < 0)].itertuples()
    assert (only.task, only.labels) == ("cifar10-cifar100", 100)
    assert shows(f"{100 * only.low:.3f}", f"{100 * only.images_low:.3f}", f"{only.p:.3f}", f"{only.p_holm:.2f}")
    significant = table[table["p_holm"] < 0.05]
    ahead = significant["method"].where(significant["mean"] > 0, significant["baseline"])
    assert len(significant) == 7 and set(ahead) == {"temporal_ensembling"}
    (cifar,) = significant[significant["task"] == "cifar10-cifar100"].itertuples()
    others = table[(table["task"] == cifar.task) & (table["p_holm"] > cifar.p_holm)]
    assert shows(f"{cifar.p_holm:.3f}", f"{others['p_holm'].min():.3f}")
    claims = pd.read_csv(ROOT / "reports/published/claims.csv")
    reproduced = claims.loc[claims["verdict"] == "reproduced", ["task", "method", "baseline"]]
    assert reproduced.to_numpy().tolist() == [["cifar10-cifar100", "temporal_ensembling", "standard"]]


def test_the_differences_in_the_text_are_those_of_the_records():
    mnist = differences("published", "mnist-notmnist10k", "lautum", "standard")
    fifty = differences("fifty-labels", "mnist-notmnist10k", "lautum", "standard")
    assert shows(*mnist[0])
    assert shows(*in_turn(*mnist)[:2], *in_turn(*fifty), *in_turn(*mnist)[2:])
    cifar = differences("published", "cifar10-cifar100", "lautum", "standard")
    assert shows(*cifar[0]) and shows(*in_turn(*cifar))
    assert shows(*in_turn(*differences("published", "cifar10-cifar100", "temporal_ensembling", "standard")))
    for method in ("lautum", "temporal_ensembling"):
        assert shows(*differences("first-cifar10-cifar100", "cifar10-cifar100", method, "standard")[0])
    for placebo in ("lautum_shuffled", "lautum_source", "entropy"):
        assert shows(*differences("controls", "mnist-notmnist10k", "lautum", placebo)[0])
    scratch = differences("controls", "mnist-notmnist10k", "standard", "target_only")
    assert shows("73.5", "82.1", "85.3", *in_turn(*scratch))
