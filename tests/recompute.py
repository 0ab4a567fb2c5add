"""Headline figures from committed records alone, with none of the package's code: csv, NumPy and SciPy.

    python tests/recompute.py

prints those of the tables with every method tuned (reports/notmnist-small, reports/published), of reports/fifty-labels,
of every campaign over universes
(reports/universes-*/universes.csv) and of the confirmations (reports/nearest-*, reports/largest-*).
tests/test_recompute.py compares them with README, documents and pages. What is computed, and by which rule a sentence
follows, is written here a second time, from docs/protocol.md and docs/universes.md.
"""

from pathlib import Path

import numpy as np
from recompute_tables import CONFIRMED, METHODS, PAPER, ROOT, headline, paper_gain, rows, table, tuned, verdict
from recompute_universes import Universes, signed


def overview(maps: dict[str, Universes]) -> list[str]:
    """The table of README and findings: a column for each task."""

    def share(some: Universes, side: str) -> str:
        # The interval as it was drawn for the page: another draw differs by some points.
        drawn = next(row for row in rows(some.path.with_name("shares.csv")) if row["settings"] == "all")
        ends = [drawn[f"{side}_{end}"] for end in ("low", "high")]
        ends_shown = f" [{', '.join(f'{100 * float(end):.0f}' for end in ends)}]" if all(ends) else ""
        return f"{100 * some.shares()[1 + (side == 'behind')]:.0f} %{ends_shown}"

    def apart(some: Universes, collapsed: bool) -> str:
        blocks = [block for block in some.blocks if (block in some.collapsed()) == collapsed]
        ahead, behind, number = some.counts(blocks)
        return f"{len(blocks)}: ahead in {ahead}, behind in {behind} of {number}"

    def helped(some: Universes) -> str:
        ahead, behind, number = some.helped()
        return f"ahead in {ahead}, behind in {behind} of {number}"

    def lead(some: Universes, arm: str, baseline: str) -> str:
        values = some.over_choices(some.differences(arm, baseline))
        ways = f" ({len(values)} ways)" if len(values) < len(some.blocks) else ""
        return f"{signed(values)}{ways}" if len(values) else "not run"

    def near(some: Universes) -> str:
        found, distances = some.near(), some.distances()
        gains = [paper_gain(some.source, count, "lautum", "standard") for count in some.labels]
        papers = ", ".join(f"{gain:+.1f}" for gain in gains)
        if not found:
            return f"0 of {len(distances)}; nearest {min(distances.values()):.1f}"
        paired = some.differences("lautum", "standard")
        there = some.over_choices({key: differences for key, differences in paired.items() if key[:2] in found})
        return f"{len(found)} of {len(distances)}; lead {signed(there)} (the paper's {papers})"

    def sides(some: Universes) -> str:
        above, below = some.sides()
        return f"{above}, {below} of {len(some.off())}"

    lines = {
        "settings run, of those drawn": lambda some: f"{len(some.blocks) * some.crossed} of {some.declared['count']}",
        "comparisons": lambda some: str(some.shares()[0]),
        "Lautum ahead of Standard": lambda some: share(some, "ahead"),
        "Lautum behind Standard": lambda some: share(some, "behind"),
        "lead at least the paper's": lambda some: f"{len(some.as_large())} of {some.shares()[0]}",
        "lead at least half of it": lambda some: f"{len(some.as_large(0.5))} of {some.shares()[0]}",
        "ways of pre-training that collapsed": lambda some: apart(some, True),
        "the other ways": lambda some: apart(some, False),
        "where pre-training helps Standard": helped,
        "Lautum − Standard": lambda some: lead(some, "lautum", "standard"),
        "Lautum − Lautum of source images": lambda some: lead(some, "lautum", "lautum_source"),
        "Lautum − Lautum of shuffled images": lambda some: lead(some, "lautum", "lautum_shuffled"),
        "Mk-MMD − Standard": lambda some: lead(some, "mk_mmd", "standard"),
        "TE − Standard, after the last step": lambda some: lead(some, "temporal_ensembling", "standard"),
        "Standard − no pre-training": lambda some: lead(some, "standard", "target_only"),
        "Standard within 5 points of the paper (setting × steps)": near,
        "Standard above the paper at every label count; at none": sides,
    }
    head = ["| " + " | ".join(["", *maps]) + " |", "|" + "---|" * (1 + len(maps))]
    return head + ["| " + " | ".join([name, *map(line, maps.values())]) + " |" for name, line in lines.items()]


def confirmation(campaign: str) -> list[str]:
    """Its rows of the table of findings, by label count: how accurate Standard is, the differences, the verdict."""

    def difference(row: dict[str, float]) -> str:
        return f"{row['mean']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]".replace("-", "−")

    records = rows(ROOT / "reports" / campaign / "records.csv")
    found, source = table(campaign, CONFIRMED), records[0]["source"]
    lines = []
    counts = sorted({int(row["labels"]) for row in records})
    for labels, accuracy in zip(counts, accuracies(campaign)["standard"], strict=True):
        some = {key[1:3]: row for key, row in found.items() if key[3] == labels}
        gain = some["lautum", "standard"]
        compared = [difference(some[pair]) for pair in CONFIRMED if pair != ("lautum", "standard")]
        cells = [f"{accuracy:.1f} ({PAPER[source, labels][0]:.1f})", f"{difference(gain)} ({gain['paper']:+.1f})"]
        lines.append("| " + " | ".join([campaign, str(labels), *cells, verdict(gain), *compared]) + " |")
    return lines


def accuracies(campaign: str) -> dict[str, list[float]]:
    """Of each method of a campaign with one task: means over seeds in the order of the label counts, in percent."""
    right: dict[str, dict[int, list[float]]] = {}
    for row in rows(ROOT / "reports" / campaign / "records.csv"):
        of_method = right.setdefault(row["method"], {})
        of_method.setdefault(int(row["labels"]), []).append(100 * int(row["correct"]) / int(row["n_images"]))
    return {name: [float(np.mean(found[labels])) for labels in sorted(found)] for name, found in right.items()}


def leads_again() -> list[str]:
    """The table of README: how accurate the networks are where a lead is confirmed."""
    shown = {
        "standard": "Standard",
        "lautum": "Lautum",
        "lautum_source": "Lautum of source images",
        "target_only": "no pre-training: a head on random features",
    }
    counts = (50, 100, 200)
    paper = {
        method: [PAPER["mnist", labels][METHODS.index(method)] for labels in counts]
        for method in ("standard", "lautum")
    }
    found = {
        "largest lead of the first 24 settings, 50 steps": accuracies("largest-mnist"),
        "largest lead of all 48, 200 steps": accuracies("largest-of-48-mnist"),
        "the paper": paper,
    }
    lines = [["% right at " + ", ".join(map(str, counts)) + " labels", *shown.values()], ["---"] * (1 + len(shown))]
    for name, of in found.items():
        lines.append([name, *(", ".join(f"{percent:.1f}" for percent in of.get(method, [])) for method in shown)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def confirmations() -> list[str]:
    """The campaigns that ran one universe again and are finished."""
    names = ["nearest-mnist", "largest-mnist", "largest-of-48-mnist", "nearest-cifar", "largest-cifar"]
    return [name for name in names if (ROOT / "reports" / name / "index.html").exists()]


def main() -> None:
    """Print them."""
    tables = {"every method tuned": tuned(), "published": table("published"), "fifty-labels": table("fifty-labels")}
    for which, found in tables.items():
        for name, value in headline(found).items():
            print(f"{which}: {name}: {value}")
    print(*overview(maps()), *leads_again(), sep="\n")
    for campaign in confirmations():
        print(*confirmation(campaign), sep="\n")
        for key, row in table(campaign, [("lautum", "target_only"), ("lautum_source", "standard")]).items():
            print(*key, f"{row['mean']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]")
    for task, some in maps().items():
        print(task, *some.sentences(), some.learnt(), some.mechanism(), some.mechanism(some.collapsed()), sep="\n")


def maps() -> dict[str, Universes]:
    """The committed campaigns over universes, by their task's name."""
    names = {"universes-mnist": "MNIST → notMNIST small", "universes-cifar": "CIFAR-10 → CIFAR-100"}
    paths = {task: ROOT / "reports" / name / "universes.csv" for name, task in names.items()}
    return {task: declared(path) for task, path in paths.items() if path.exists()}


def declared(path: Path) -> Universes:
    """A committed campaign over universes, with what its configuration and config/config.yaml declare."""
    import yaml

    own, base = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        for name in (path.parent.name, "config")
    )
    (name,) = own["grid"]["tasks"]
    source = own["tasks"].get(name, {}).get("source", base["tasks"].get(name, {}).get("source"))
    steps = own["tasks"][name]["transfer"]["steps"]["value"]
    return Universes(path, source, own["universes"], own["grid"]["seeds"], own["grid"]["methods"], steps)


if __name__ == "__main__":
    main()
