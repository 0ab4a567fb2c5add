"""Headline figures from committed records alone, with none of the package's code: csv, NumPy and SciPy.

    python tests/recompute.py

prints those of the published tables (reports/published, reports/fifty-labels) and of every campaign over universes
(reports/universes-*/universes.csv). tests/test_recompute.py compares them with README, documents and pages. What is
computed, and by which rule a sentence follows, is written here a second time, from docs/protocol.md and
docs/universes.md.
"""

from pathlib import Path

import numpy as np
from recompute_tables import PAPER, ROOT, headline, holm, interval, outside, paper_gain, rows, table
from scipy.linalg import orth
from scipy.stats import qmc, spearmanr


class Universes:
    """A campaign over universes, from its universes.csv and what was declared in its configuration."""

    def __init__(self, path: Path, source: str, declared: dict, seeds: list[int], arms: list[str], longest: int):
        """`declared`: the configuration's `universes`; `longest`: post-transfer steps of a whole stage."""
        self.path, self.source, self.crossed, self.declared = path, source, declared["crossed"], declared
        self.near_seeds = declared["nearness"]["seeds"]
        every = declared.get("every", {})
        table = rows(path)
        self.labels = sorted({int(row["labels"]) for row in table})
        # What pre-training leaves, by arm and universe: source accuracy in percent, and the scale of the logits.
        self.left: dict[tuple[str, int], list[tuple[float, float]]] = {}
        self.accuracy: dict[tuple, dict[int, float]] = {}  # by arm, universe, budget, labels: by seed, in percent
        found: dict[int, int] = {}
        for row in table:
            universe = int(row["universe"])
            found[universe // self.crossed] = found.get(universe // self.crossed, 0) + 1
            if int(row["seed"]) not in self.near_seeds:
                left = 100 * float(row["source_accuracy"]), float(row["logit_scale"])
                self.left.setdefault((row["arm"], universe), []).append(left)
            counts = {int(name[6:]): value for name, value in row.items() if name.startswith("after_") and value}
            for budget, count in (counts | {longest: row["correct"]}).items():
                key = row["arm"], universe, budget, int(row["labels"])
                share = 100 * float(count) / int(row["n_images"])
                self.accuracy.setdefault(key, {})[int(row["seed"])] = share
        wanted = {}  # runs of a whole block
        for universe in range(declared["count"]):
            here = [arm for arm in arms if universe % every.get(arm, 1) == 0]
            runs = len(self.labels) * (len(here) * len(seeds) + len(self.near_seeds))
            wanted[universe // self.crossed] = wanted.get(universe // self.crossed, 0) + runs
        self.blocks = [block for block in wanted if found.get(block) == wanted[block]]
        self.budgets = sorted({key[2] for key in self.accuracy if key[0] == "standard"})

    def differences(self, arm: str, baseline: str) -> dict[tuple, dict[int, float]]:
        """Paired differences by (universe, budget, labels) and seed."""
        paired = {}
        for (name, *rest), ours in self.accuracy.items():
            theirs = self.accuracy.get((baseline, *rest))
            if name == arm and theirs and rest[0] // self.crossed in self.blocks:
                paired[tuple(rest)] = {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}
        return paired

    def shares(self, keep=None) -> tuple[int, float, float]:
        """Of the claim's specifications: their number, the share above zero, and below; of those in `keep`."""
        paired = self.differences("lautum", "standard")
        bounds = [interval([*some.values()]) for key, some in paired.items() if keep is None or keep(key)]
        number = len(bounds)
        above, below = sum(low > 0 for low, _ in bounds), sum(high < 0 for _, high in bounds)
        return number, above / number if number else np.nan, below / number if number else np.nan

    def share_intervals(self, resamples: int = 9999) -> list[list[float]]:
        """Of the shares above and below zero, in percent, resampling pre-transfer choices; random, so to about 1."""
        counts: dict[int, list[np.ndarray]] = {}
        for (universe, _, _), some in self.differences("lautum", "standard").items():
            low, high = interval([*some.values()])
            counts.setdefault(universe // self.crossed, []).append(np.array([low > 0, high < 0, True], float))
        blocks = np.array([np.sum(some, axis=0) for some in counts.values()])
        drawn = np.random.default_rng(2).choice(len(blocks), (resamples, len(blocks)))
        sums = blocks[drawn].sum(axis=1)
        return [np.percentile(100 * sums[:, side] / sums[:, 2], [2.5, 97.5]).tolist() for side in (0, 1)]

    def by_universe(self, arm: str, budget: int | None = None) -> dict[int, float]:
        """The mean difference from Standard in each universe, after one number of steps or over all."""
        gains: dict[int, list[float]] = {}
        for (universe, steps, _), some in self.differences(arm, "standard").items():
            if budget in (None, steps):
                gains.setdefault(universe, []).append(float(np.mean([*some.values()])))
        return {universe: float(np.mean(some)) for universe, some in gains.items()}

    def lost(self, by: float = 20.0) -> tuple[list[int], list[float], list[float]]:
        """Pre-transfer choices whose source accuracy is below Standard's by so much; gains there and elsewhere."""
        there, elsewhere, choices = [], [], set()
        for universe, gain in self.by_universe("lautum").items():
            ours, theirs = (np.mean(self.left[arm, universe], axis=0)[0] for arm in ("lautum", "standard"))
            (there if ours < theirs - by else elsewhere).append(gain)
            choices |= {universe // self.crossed} if ours < theirs - by else set()
        return sorted(choices), there, elsewhere

    def mechanism(self) -> dict[str, list[float]]:
        """Rank correlations over universes, for each number of steps: of the gain with what pre-training leaves."""
        found: dict[str, list[float]] = {"source accuracy": [], "logit scale": [], "both gains": []}
        for budget in self.budgets:
            gain, of_source = (self.by_universe(arm, budget) for arm in ("lautum", "lautum_source"))
            change = [
                np.mean(self.left["lautum", universe], axis=0) - np.mean(self.left["standard", universe], axis=0)
                for universe in gain
            ]
            for name, column in (("source accuracy", 0), ("logit scale", 1)):
                found[name].append(float(spearmanr([row[column] for row in change], [*gain.values()]).statistic))
            pairs = [[gain[universe], of_source[universe]] for universe in gain]
            found["both gains"].append(float(spearmanr(pairs).statistic))
        return found

    def distances(self) -> dict[tuple[int, int], float]:
        """Of each universe and budget, how far Standard is from the paper."""
        found = {}
        for universe in sorted({key[1] for key in self.accuracy}):
            for budget in self.budgets:
                cells = [self.accuracy.get(("standard", universe, budget, count)) for count in self.labels]
                if universe // self.crossed in self.blocks and all(cells):
                    means = [np.mean([cell[seed] for seed in self.near_seeds]) for cell in cells]
                    figures = [PAPER[self.source, count][0] for count in self.labels]
                    found[universe, budget] = float(np.sqrt(np.mean((np.array(means) - figures) ** 2)))
        return found

    def near(self) -> set[tuple[int, int]]:
        """The universes and budgets in which Standard is as accurate as in the paper."""
        return {key for key, distance in self.distances().items() if distance <= 5}

    def over_choices(self, paired: dict[tuple, dict[int, float]]) -> np.ndarray:
        """Means over pre-transfer choices of all differences in each."""
        by_choice: dict[int, list[float]] = {}
        for (universe, _, _), some in paired.items():
            by_choice.setdefault(universe // self.crossed, []).extend(some.values())
        return np.array([np.mean(values) for values in by_choice.values()])

    def average(self) -> dict[tuple[int, int], dict[str, float]]:
        """Of the claim, by budget and labels: mean gain, interval, p of equivalence."""
        paired, found = self.differences("lautum", "standard"), {}
        for budget in self.budgets:
            for labels in self.labels:
                values = self.over_choices({key: some for key, some in paired.items() if key[1:] == (budget, labels)})
                low, high = interval(values)
                half = abs(paper_gain(self.source, labels, "lautum", "standard")) / 2
                margins = {"1 point": 1, "2 points": 2} | ({"half": half} if half == half else {})
                found[budget, labels] = {"gain": values.mean(), "low": low, "high": high} | {
                    name: outside(values, margin) if len(values) > 1 else np.nan for name, margin in margins.items()
                }
        return found

    def joint(self, swaps: int = 9999) -> dict[int, float]:
        """p of no difference anywhere, for each label count, after Holm; random, so to about 0.01."""
        paired, found, rng = self.differences("lautum", "standard"), {}, np.random.default_rng(1)
        for labels in self.labels:
            cells: dict[int, dict[int, list[float]]] = {}
            for (universe, _, count), some in paired.items():
                if count == labels:
                    for seed, difference in some.items():
                        cells.setdefault(universe, {}).setdefault(seed, []).append(difference)
            means = np.array([[np.mean(cells[u][seed]) for seed in sorted(cells[u])] for u in sorted(cells)])
            block = np.unique([u // self.crossed for u in sorted(cells)], return_inverse=True)[1]
            observed = (means.mean(axis=1) ** 2).sum()
            as_large = 1
            for _ in range(swaps):
                signs = rng.choice([-1, 1], (block.max() + 1, means.shape[1]))[block]
                as_large += ((signs * means).mean(axis=1) ** 2).sum() >= observed * (1 - 1e-12)
            found[labels] = as_large / (swaps + 1)
        return holm(found)

    def choices(self, universe: int) -> dict[str, str | int]:
        """What a universe chose, of the factors that the claim's arms have; of a range, whether from its upper half."""
        chosen: dict[str, str | int] = {}
        for stage, number in (("pretrain", universe // self.crossed), ("transfer", universe)):
            factors = {name: one for name, one in self.declared["factors"].items() if one["stage"] == stage}
            rng = np.random.default_rng(self.declared["sample"])
            places = qmc.Halton(len(factors), rng=rng).random(number + 1)[-1].tolist() if factors else []
            for (name, one), place in zip(factors.items(), places, strict=True):
                if {"lautum", "standard"} & {*(one.get("methods") or ["standard"])}:
                    levels = [*(one.get("levels") or (0, 1))]
                    chosen[name] = levels[int(place * len(levels))]
        return chosen

    def decides(self) -> str:
        """The choice that explains most of the variance of the gain over universes and budgets, if that can be told."""
        gains: dict[tuple[int, int], list[float]] = {}
        for (universe, budget, _), some in self.differences("lautum", "standard").items():
            gains.setdefault((universe, budget), []).append(float(np.mean([*some.values()])))
        values = np.array([np.mean(some) for some in gains.values()])
        chosen = [self.choices(universe) | {"budget": budget} for universe, budget in gains]
        columns = {}
        for name in chosen[0]:
            levels = [*dict.fromkeys(row[name] for row in chosen)]
            columns[name] = np.array([[row[name] == level for level in levels[1:]] for row in chosen], float)
        columns = {name: some for name, some in columns.items() if some.shape[1]}

        def explained(names) -> tuple[float, int]:
            basis = orth(np.hstack([np.ones((len(values), 1)), *(columns[name] for name in names)]))
            return float(((basis.T @ (values - values.mean())) ** 2).sum() / ((values - values.mean()) ** 2).sum()), (
                basis.shape[1]
            )

        (all_of_it, rank), shares, unclear = explained(columns), {}, []
        for name, some in columns.items():
            without, fewer = explained([other for other in columns if other != name])
            if rank - fewer == some.shape[1]:
                shares[name] = all_of_it - without
            else:
                unclear.append(name)
        together = all_of_it - explained([name for name in columns if name not in unclear])[0]
        first = max(shares, key=lambda name: shares[name], default=None)
        if first is None or together > shares[first]:
            return (
                f"What decides is among {len(unclear)} choices that so few universes do not tell apart: together they "
                f"explain {together:.0%} of the variance."
            )
        among = f", of the choices that so few universes tell apart (all but {len(unclear)})," if unclear else ""
        return f"What decides most{among} is the {first} ({shares[first]:.0%} of the variance)."

    def sentences(self) -> list[str]:
        """As docs/universes.md prescribes."""
        number, above, below = self.shares()
        shares = f"in {above:.0%} of {number} specifications (universe, budget and number of labels) Lautum was ahead "
        shares += f"of Standard, in {below:.0%} behind"
        average, joint = self.average(), self.joint()
        gain = signed(self.over_choices(self.differences("lautum", "standard")))
        if above >= 0.5 and above > below:
            claim = f"The claim holds in most of the settings that a reader could have meant: {shares}."
        elif above < 0.5 and min(joint.values()) < 0.05:
            claim = f"Whether the claim holds depends on the setting: {shares}. {self.decides()}"
        elif min(joint.values()) >= 0.05 and all(row["2 points"] < 0.05 for row in average.values()):
            claim = f"In the settings examined, Lautum’s pre-training makes no practical difference: {shares}."
        else:
            claim = f"The settings examined do not decide it: Lautum’s lead was {gain} points on average; {shares}."
        said = [claim]
        if (self.source, self.labels[0]) in PAPER:
            said.append(self.level())
        target = self.differences("lautum", "lautum_source")
        if target:
            values = self.over_choices(target)
            worth = f"they are worth {signed(values)} points over source images."
            if interval(values)[0] > 0:
                said.append(f"It is the target’s images that help: {worth}")
            elif len(values) > 1 and outside(values, 2) < 0.05:
                said.append(f"It is not the target’s images: {worth}")
            else:
                said.append(f"Whether the target’s images help is not decided: {worth}")
        return said

    def level(self) -> str:
        """Of the paper's own level."""
        near = self.near()
        if not near:
            (universe, budget), distance = min(self.distances().items(), key=lambda item: item[1])
            return (
                "No universe brings Standard near the paper’s accuracy at any budget; the nearest, universe "
                f"{universe} after {budget} steps, is {distance:.1f} points away."
            )
        paired = self.differences("lautum", "standard")
        there = self.over_choices({key: some for key, some in paired.items() if key[:2] in near})
        gains = ", ".join(f"{paper_gain(self.source, count, 'lautum', 'standard'):.1f}" for count in self.labels)
        return (
            f"Where Standard is as accurate as in the paper ({len(near)} pair{'s' * (len(near) != 1)} of universe and "
            f"budget), Lautum’s lead was {signed(there)} points on average; the paper’s gains are {gains}."
        )


def overview(maps: dict[str, Universes]) -> list[str]:
    """The table of README and findings: a column for each task."""

    def share(some: Universes, side: str) -> str:
        # The interval as it was drawn for the page: another draw's last digit can differ.
        drawn = next(row for row in rows(some.path.with_name("shares.csv")) if row["settings"] == "all")
        low, high = (100 * float(drawn[f"{side}_{end}"]) for end in ("low", "high"))
        return f"{100 * some.shares()[1 + (side == 'behind')]:.0f} % [{low:.0f}, {high:.0f}]"

    def lead(some: Universes, arm: str, baseline: str) -> str:
        return points(some.over_choices(some.differences(arm, baseline)))

    def near(some: Universes) -> str:
        found, distances = some.near(), some.distances()
        gains = [paper_gain(some.source, count, "lautum", "standard") for count in some.labels]
        papers = ", ".join(f"{gain:+.1f}" for gain in gains)
        if not found:
            return f"never; at best {min(distances.values()):.1f} points away"
        paired = some.differences("lautum", "standard")
        there = some.over_choices({key: differences for key, differences in paired.items() if key[:2] in found})
        return f"{len(found)} of {len(distances)}; lead there {points(there)}, the paper's {papers}"

    lines = {
        "settings run, of those drawn": lambda some: f"{len(some.blocks) * some.crossed} of {some.declared['count']}",
        "ways of pre-training among them": lambda some: str(len(some.blocks)),
        "comparisons (setting, steps, labels)": lambda some: str(some.shares()[0]),
        "Lautum ahead of Standard": lambda some: share(some, "ahead"),
        "Lautum behind": lambda some: share(some, "behind"),
        "Lautum − Standard, points": lambda some: lead(some, "lautum", "standard"),
        "Lautum − Lautum of source images": lambda some: lead(some, "lautum", "lautum_source"),
        "Mk-MMD − Standard": lambda some: lead(some, "mk_mmd", "standard"),
        "Standard − no pre-training": lambda some: lead(some, "standard", "target_only"),
        "Standard as accurate as in the paper": near,
    }
    head = ["| " + " | ".join(["", *maps]) + " |", "|" + "---|" * (1 + len(maps))]
    return head + ["| " + " | ".join([name, *map(line, maps.values())]) + " |" for name, line in lines.items()]


def points(values: np.ndarray) -> str:
    """As `signed`, as it is printed."""
    return signed(values).replace("-", "−")


def signed(values: np.ndarray) -> str:
    """A mean with its interval."""
    low, high = interval(values)
    return f"{values.mean():+.1f}" + ("" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def main() -> None:
    """Print them."""
    for campaign in ("published", "fifty-labels"):
        for name, value in headline(table(campaign)).items():
            print(f"{campaign}: {name}: {value}")
    print(*overview(maps()), sep="\n")
    for task, some in maps().items():
        print(task, *some.sentences(), *some.lost(), some.mechanism(), sep="\n")


def maps() -> dict[str, Universes]:
    """The committed campaigns over universes, by their task's name."""
    names = {"universes-mnist": "MNIST → notMNIST", "universes-cifar": "CIFAR-10 → CIFAR-100"}
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
