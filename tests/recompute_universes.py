"""What docs/universes.md asks of a campaign over universes, a second time, with none of the package's code."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from recompute_tables import PAPER, holm, interval, outside, paper_gain, rows
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
        """Of the shares above and below zero, in percent; resamples pre-transfer choices if there are 5; to about 3."""
        counts: dict[int, list[np.ndarray]] = {}
        for (universe, _, _), some in self.differences("lautum", "standard").items():
            low, high = interval([*some.values()])
            counts.setdefault(universe // self.crossed, []).append(np.array([low > 0, high < 0, True], float))
        blocks = np.array([np.sum(some, axis=0) for some in counts.values()])
        if len(blocks) < 5:
            return [[np.nan, np.nan]] * 2
        drawn = np.random.default_rng(2).choice(len(blocks), (resamples, len(blocks)))
        sums = blocks[drawn].sum(axis=1)
        ends = [np.percentile(100 * sums[:, side] / sums[:, 2], [2.5, 97.5]).tolist() for side in (0, 1)]
        return [[low, high] if low < high else [np.nan, np.nan] for low, high in ends]

    def by_universe(self, arm: str, budget: int) -> dict[int, float]:
        """The mean difference from Standard in each universe, after one number of steps."""
        gains: dict[int, list[float]] = {}
        for (universe, steps, _), some in self.differences(arm, "standard").items():
            if steps == budget:
                gains.setdefault(universe, []).append(float(np.mean([*some.values()])))
        return {universe: float(np.mean(some)) for universe, some in gains.items()}

    def learnt(self) -> dict[int, tuple[float, float]]:
        """Of each pre-transfer choice, the source accuracy that Standard's pre-training leaves, and Lautum's."""
        return {
            block: tuple(np.mean(self.left[arm, block * self.crossed], axis=0)[0] for arm in ("standard", "lautum"))
            for block in self.blocks
        }

    def collapsed(self) -> list[int]:
        """The pre-transfer choices in which Lautum's source accuracy is below half of Standard's."""
        return [block for block, (standard, lautum) in self.learnt().items() if lautum < standard / 2]

    def fallen(self, arm: str) -> dict[int, int]:
        """Of each pre-transfer choice, how many of an arm's pre-trainings end below half of Standard's accuracy."""
        return {
            block: sum(
                own < standard / 2
                for (own, _), (standard, _) in zip(
                    self.left[arm, block * self.crossed], self.left["standard", block * self.crossed], strict=True
                )
            )
            for block in self.blocks
        }

    def counts(self, blocks: list[int]) -> tuple[int, int, int]:
        """Of the claim's specifications in some pre-transfer choices: how many are ahead, behind, and there at all."""
        number, above, below = self.shares(lambda key: key[0] // self.crossed in blocks)
        return (round(above * number), round(below * number), number) if number else (0, 0, 0)

    def helped(self) -> tuple[int, int, int]:
        """The same where Standard is ahead of no pre-training by an interval that leaves out zero."""
        worth = self.differences("standard", "target_only")
        helps = {key for key, some in worth.items() if interval([*some.values()])[0] > 0}
        number, above, below = self.shares(helps.__contains__)
        return (round(above * number), round(below * number), number) if number else (0, 0, 0)

    def as_large(self, part: float = 1.0) -> list[tuple[int, int, int]]:
        """The specifications in which the mean gain is at least that part of the paper's."""
        papers = {count: paper_gain(self.source, count, "lautum", "standard") for count in self.labels}
        paired = self.differences("lautum", "standard")
        return [key for key, some in paired.items() if np.mean([*some.values()]) >= part * papers[key[2]] - 1e-9]

    def standard(self, key: tuple[int, int, int]) -> float:
        """Standard's accuracy in a specification, of the seeds of its gain."""
        accuracy = self.accuracy["standard", *key]
        return float(np.mean([accuracy[seed] for seed in self.differences("lautum", "standard")[key]]))

    def mechanism(self, without: Sequence[int] = ()) -> dict[str, list[float]]:
        """Rank correlations over universes, for each number of steps: of the gain with what pre-training leaves.

        `without` these pre-transfer choices.
        """
        found: dict[str, list[float]] = {"source accuracy": [], "logit scale": [], "both gains": []}
        for budget in self.budgets:
            gain, of_source = (self.by_universe(arm, budget) for arm in ("lautum", "lautum_source"))
            gain = {universe: value for universe, value in gain.items() if universe // self.crossed not in without}
            change = [
                np.mean(self.left["lautum", universe], axis=0) - np.mean(self.left["standard", universe], axis=0)
                for universe in gain
            ]
            for name, column in (("source accuracy", 0), ("logit scale", 1)):
                found[name].append(float(spearmanr([row[column] for row in change], [*gain.values()]).statistic))
            pairs = [[gain[universe], of_source[universe]] for universe in gain]
            found["both gains"].append(float(spearmanr(pairs).statistic))
        return found

    def off(self) -> dict[tuple[int, int], np.ndarray]:
        """Of each universe and budget, Standard minus the paper's figure at each label count."""
        found = {}
        for universe in sorted({key[1] for key in self.accuracy}):
            for budget in self.budgets:
                cells = [self.accuracy.get(("standard", universe, budget, count)) for count in self.labels]
                if universe // self.crossed in self.blocks and all(cells):
                    means = [np.mean([cell[seed] for seed in self.near_seeds]) for cell in cells]
                    figures = [PAPER[self.source, count][0] for count in self.labels]
                    found[universe, budget] = np.array(means) - figures
        return found

    def distances(self) -> dict[tuple[int, int], float]:
        """Of each universe and budget, how far Standard is from the paper."""
        return {key: float(np.sqrt(np.mean(off**2))) for key, off in self.off().items()}

    def sides(self) -> tuple[int, int]:
        """In how many universes and budgets Standard is above the paper at every label count, and at none."""
        off = [*self.off().values()]
        return sum((some > 0).all() for some in off), sum((some <= 0).all() for some in off)

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

    def joint(self, swaps: int = 9999, without: Sequence[int] = ()) -> dict[int, float]:
        """p of no difference anywhere (but in some pre-transfer choices), for each label count, after Holm; to 0.01."""
        paired, found, rng = self.differences("lautum", "standard"), {}, np.random.default_rng(1)
        for labels in self.labels:
            cells: dict[int, dict[int, list[float]]] = {}
            for (universe, _, count), some in paired.items():
                if count == labels and universe // self.crossed not in without:
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
        first = max(shares, key=lambda name: shares[name], default=None)
        if unclear and (first is None or shares[first] <= all_of_it / 2):
            between, within = self.between_and_within(gains)
            return (
                f"{len(self.blocks)} ways of pre-training do not tell which choice decides: {between:.0%} of the "
                f"variance lies between them, {within:.0%} between the post-transfer choices within them."
            )
        among = f", of the choices that so few universes tell apart (all but {len(unclear)})," if unclear else ""
        by_chance = holm(self.by_chance(values, [*gains], columns, shares) | dict.fromkeys(unclear, 1.0))
        chance = "" if by_chance[first] < 0.05 else ", not shown to be more than chance gives"
        return f"What decides most{among} is the {first} ({shares[first]:.0%} of the variance{chance})."

    def by_chance(
        self,
        values: np.ndarray,
        places: list[tuple[int, int]],
        columns: dict[str, np.ndarray],
        shares: dict[str, float],
    ) -> dict[str, float]:
        """How often each choice would explain its share of the variance if it had no effect; random."""
        total, rng, found = ((values - values.mean()) ** 2).sum(), np.random.default_rng(3), {}
        before = {name for name, one in self.declared["factors"].items() if one["stage"] == "pretrain"}
        for name, share in shares.items():
            others = [some for other, some in columns.items() if other != name]
            rest = orth(np.hstack([np.ones((len(values), 1)), *others]))
            as_large, repeats = 1, 499
            for _ in range(repeats):
                if name == "budget":
                    keys = [(universe, rng.random()) for universe, _ in places]
                    order = sorted(range(len(keys)), key=keys.__getitem__)
                else:
                    units = [universe // self.crossed if name in before else universe for universe, _ in places]
                    first = {unit: units.index(unit) for unit in units}
                    to = dict(zip(first, rng.permutation([*first]).tolist(), strict=True))
                    order = [first[to[unit]] for unit in units]
                drawn = columns[name][order]
                drawn = drawn - rest @ (rest.T @ drawn)
                explained = np.linalg.pinv(drawn) @ values
                as_large += ((drawn @ explained) ** 2).sum() >= share * total * (1 - 1e-9)
            found[name] = as_large / (repeats + 1)
        return found

    def between_and_within(self, gains: dict[tuple[int, int], list[float]]) -> tuple[float, float]:
        """Shares of the variance of mean gains that lie between pre-transfer choices, and between universes in them."""
        values = {key: float(np.mean(some)) for key, some in gains.items()}
        by_universe: dict[int, list[float]] = {}
        for (universe, _), value in values.items():
            by_universe.setdefault(universe, []).append(value)
        means = {universe: float(np.mean(some)) for universe, some in by_universe.items()}
        blocks = {
            block: float(np.mean([mean for universe, mean in means.items() if universe // self.crossed == block]))
            for block in self.blocks
        }
        total = float(np.var([*values.values()]))
        within = [mean - blocks[universe // self.crossed] for universe, mean in means.items()]
        return float(np.var([*blocks.values()])) / total, float(np.mean(np.square(within))) / total

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
                said.append(f"It is not the target’s images that help: {worth}")
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


def signed(values: np.ndarray) -> str:
    """A mean with its interval."""
    low, high = interval(values)
    text = f"{values.mean():+.1f}" + ("" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")
    return text.replace("-", "−")
