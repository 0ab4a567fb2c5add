"""One universe of a campaign over universes as settings of an ordinary one: to look at it again, with fresh seeds.

A universe that was picked because of its results is the one of many where chance was kindest to what it was picked for.
Only runs that had no part in the choice say what holds there (the winner's curse).
"""

from pathlib import Path

import yaml

from lautum.errors import LautumError, require_known
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.results.multiverse import CLAIM, Analysis

RULES = ("nearest", "largest")


def settings_file(path: Path | str, which: str) -> str:
    """The file that a campaign extends, for universe `which` of the configuration `path`: its number, or a rule.

    `nearest`: the universe and number of post-transfer steps with the smallest distance of Standard to the paper.
    `largest`: those with the largest lead of Lautum over Standard, a mean over label counts.

    Raises LautumError for an unknown rule, and as `config.of_universe` and `Analysis.of`.
    """
    steps = None
    if which.isdecimal():
        number, why = int(which), f"universe {which}"
    else:
        require_known("rule", which, RULES)
        number, steps, why = _picked(Analysis.of(Layout(config.load(path))), which)
    settings = config.of_universe(path, number)
    (task,) = settings["tasks"].values()
    for stages in task["methods"].values():
        stages["transfer"].pop("snapshots", None)
        if steps is not None and "steps" in stages["transfer"]:
            stages["transfer"]["steps"] = {"value": steps, "source": f"chosen: {why}"}
    header = f"# Written by `lautum universe {which} --config {path}`: {why}.\n"
    return header + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=150)


def _picked(analysis: Analysis, rule: str) -> tuple[int, int, str]:
    """Number, steps, and why, in words."""
    if rule == "nearest":
        if not analysis.is_in_paper:
            raise LautumError(
                "the paper has no accuracies for the task of this campaign, so no universe is nearest to them"
            )
        row = analysis.distances.loc[analysis.distances["distance"].idxmin()]
        why = f"nearest to the paper, {100 * row['distance']:.1f} points"
    else:
        means = analysis.means[CLAIM]
        row = means.loc[means["gain"].idxmax()]
        why = f"largest lead of Lautum, {100 * row['gain']:+.1f} points"
    number, steps = int(row["universe"]), int(row["budget"])
    return number, steps, f"universe {number} after {steps} steps, of {analysis.count} the {why}"
