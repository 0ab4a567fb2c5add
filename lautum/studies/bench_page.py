"""`make bench`, last part: docs/benchmarks.md from what the other parts measured."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from lautum.files import write_text

PAGE = Path("docs/benchmarks.md")
RATIOS = Path("reports/benchmark.json")
OVERHEAD = Path("reports/overhead.csv")


def render(ratios: Path = RATIOS, overhead: Path = OVERHEAD) -> str:
    """The page, from the files that `lautum.studies.bench` and `lautum.studies.overhead` write.

    Without the second it has the first's table alone.
    """
    measured = json.loads(ratios.read_text(encoding="utf-8"))
    where, rounds = measured["environment"], measured["rounds"]
    lines = [
        "# Benchmarks",
        "",
        f"`make bench` measures and writes this page. Machine: {where['cores']} cores ({where['cpu']}), PyTorch "
        f"{where['torch']}; one thread unless said otherwise.",
        "",
        "## Training steps",
        "",
        f"Medians over {rounds} interleaved rounds (fewer for throughput): `{ratios}`.",
        "",
        "| measured | median | quartiles | n | aim |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in measured["rows"]:
        numbers = f"{row['median']:.3g} | {row['low']:.3g} to {row['high']:.3g} | {row['n']}"
        lines.append(f"| {row['what']} | {numbers} | {row['target']} |")
    if overhead.exists():
        lines += _overhead(pd.read_csv(overhead), overhead)
    return "\n".join(lines) + "\n"


def _overhead(table: pd.DataFrame, path: Path) -> list[str]:
    lines = [
        "",
        "## Jobs, campaigns and the graph",
        "",
        "Seconds of all processes of a command, and the memory of the largest; medians over n runs. The share is what "
        f"of the CPU time is neither training nor prediction: `{path}`.",
        "",
        "| measured | size | wall, s | CPU, s | memory, MiB | share | n |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    columns = ["wall", "cpu", "memory", "share"]
    for _, rows in table.groupby(["what", "size"], sort=False):
        what, size = rows[["what", "size"]].iloc[0]
        median = dict(zip(columns, np.median(rows[columns].to_numpy(float), axis=0), strict=True))
        share = "" if math.isnan(median["share"]) else f"{median['share']:.2f}"
        numbers = f"{median['wall']:.3g} | {median['cpu']:.3g} | {median['memory']:.0f}"
        lines.append(f"| {what} | {size} | {numbers} | {share} | {len(rows)} |")
    return lines


if __name__ == "__main__":
    write_text(PAGE, render())
