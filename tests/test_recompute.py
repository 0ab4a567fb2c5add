"""What is said of the published campaigns is what other code finds in their records: `recompute`, with none of ours."""

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recompute
import recompute_tables

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.results import specifications, statistics

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLUSTER = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBERS += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]


def test_the_other_code_is_other_code():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").glob("recompute*.py")]
    imported = {
        name.split(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported == {
        "csv",
        "pathlib",
        "numpy",
        "scipy",
        "yaml",
        "collections",
        "recompute_tables",
        "recompute_universes",
    }


COLUMNS = {
    "n": "n",
    "t": "p_t",
    "t, Holm": "p_t_holm",
    "sign_flip": "p",
    "sign_flip, Holm": "p_holm",
    "within 1 point": "within_1",
    "within 1 point, Holm": "within_1_holm",
    "within 2 points": "within_2",
    "within 2 points, Holm": "within_2_holm",
}


TABLES = ["notmnist-small", "published", "controls", "fifty-labels", "first", "first-cifar10-cifar100"]


@pytest.mark.parametrize("campaign", TABLES + recompute.confirmations())
def test_every_difference_is_found_again(campaign):
    table = pd.read_csv(ROOT / f"reports/{campaign}/differences.csv")
    compared = list(table[["method", "baseline"]].drop_duplicates().itertuples(index=False, name=None))
    found = recompute.table(campaign, compared)
    assert len(found) == len(table)
    for row in table.to_dict("records"):
        again = found[row["task"], row["method"], row["baseline"], row["labels"]]
        for name in ("mean", "low", "high"):
            assert 100 * row[name] == pytest.approx(again[name], abs=1e-9)
        for name, column in COLUMNS.items():
            allowed = 1e-12
            if name.startswith("sign_flip") and row["n"] > 16:  # from a sample of the sign patterns
                p, family = again["sign_flip"], len(table) if "Holm" in name else 1
                allowed = family * (4 * np.sqrt(p * (1 - p) / statistics.PERMUTATIONS) + 2 / statistics.PERMUTATIONS)
            assert row[column] == pytest.approx(again[name], rel=1e-6, abs=allowed), (name, again)
        if again["paper"] == again["paper"]:
            assert 100 * row["paper"] == pytest.approx(again["paper"])
            assert row["within_half"] == pytest.approx(again["within half"], rel=1e-6, abs=1e-12)
            assert row["within_half_holm"] == pytest.approx(again["within half, Holm"], rel=1e-6, abs=1e-12)


def test_the_headline_is_that_of_the_records():
    found = recompute.headline(recompute.tuned())
    result = README.partition("## The result")[2].partition("\n## ")[0]
    for task in ("mnist-notmnist-small", "cifar10-cifar100"):
        ours, papers = (f"{value:+.1f}".replace("-", "−") for value in found["average"][task])
        assert f"{ours} points" in result or f"{ours} on" in result
        assert papers in result
    tasks = ("mnist-notmnist-small", "cifar10-cifar100")
    assert found["told apart"] == [(task, "lautum", "standard", 100) for task in tasks]
    assert found["practically equivalent"] == 6 - len(found["told apart"])
    within = NUMBERS[found["of them within 2 points"]]
    assert f"At {within} other label counts the two are practically equivalent, within 2 points; at" in result
    assert found["practically equivalent"] - found["of them within 2 points"] == 1
    assert "at MNIST's 50 only within half of the paper's gain (7.0 points)" in result
    number = NUMBERS[found["significant"]]
    assert f"Of the {found['comparisons']} differences that the paper has too, {number} are significant" in result
    assert found["ahead in them"] == ["lautum", "temporal_ensembling"]
    assert f"were known, {NUMBERS[found['significant by t']]} of all {found['comparisons']} are:" in FINDINGS


def test_where_the_claim_holds_is_told_as_the_runs_have_it():
    maps = recompute.maps()
    lines = recompute.overview(maps)
    assert "\n".join(lines) in FINDINGS
    shown = [line for line in README.partition("Ahead, behind:")[0].splitlines() if line.startswith("|")]
    assert [line for line in lines if line in shown] == shown and len(shown) == 7
    for row in (
        "settings run",
        "Lautum ahead",
        "Lautum behind",
        "Standard within",
    ):
        assert any(line.startswith(f"| {row}") for line in shown)
    choices = ", ".join(NUMBERS[len(some.blocks)] for some in maps.values())
    assert f"Settings share ways of pre-training ({choices})" in README
    done = " and ".join(f"{len(some.blocks) * some.crossed} of {some.declared['count']}" for some in maps.values())
    assert f"{done} universes are finished" in FINDINGS
    assert f"{choices.replace(', ', ' and ').capitalize()} ways of pre-training leave the shares wide" in FINDINGS
    for some in maps.values():
        table = pd.read_csv(some.path.with_name("joint.csv"))
        assert dict(zip(table["labels"], table["holm"], strict=True)) == pytest.approx(some.joint(), abs=0.01)


def test_the_accuracies_of_the_confirmed_leads_are_those_of_the_records():
    assert "\n".join(recompute.leads_again()) in README
    for campaign in ("largest-mnist", "largest-of-48-mnist"):
        shown = pd.read_csv(ROOT / f"reports/{campaign}/accuracy.csv").groupby("method")["mean"]
        assert {name: pytest.approx([*(100 * mean)]) for name, mean in shown} == recompute.accuracies(campaign)


def test_each_confirmation_is_told_as_its_records_have_it():
    assert recompute.confirmations()
    for campaign in recompute.confirmations():
        assert "\n".join(recompute.confirmation(campaign)) in FINDINGS


def test_what_is_said_of_the_largest_lead_is_what_was_found_again():
    """The universe is number 5, and what lasts is told by the map's seeds, which are others."""
    told = FINDINGS.partition("### The confirmation")[2].partition("Of the largest lead of all 48 settings:")[0]
    design = config.load(ROOT / "config/largest-mnist.yaml")
    head = design.transfer_settings("mnist-notmnist-small", "lautum")
    assert (head.trained, head.head, head.steps, head.batch_size, head.optimiser) == ("head", "keep", 50, 32, "adam")
    assert head.learning_rate == 1e-3 and "for 50 steps of 32 images with Adam at 1e-3; λ is 0.19" in told
    assert design.pretrain_settings("mnist-notmnist-small", "lautum").weight == pytest.approx(0.19, abs=5e-3)
    found = recompute.table("largest-mnist", recompute_tables.CONFIRMED)
    leads = [row for key, row in found.items() if key[1:3] == ("lautum", "standard")]
    target = [row for key, row in found.items() if key[1:3] == ("lautum", "lautum_source")]
    assert {row["n"] for row in leads + target} == {20} and "20 fresh seeds" in README and "20 fresh seeds" in told
    assert all(recompute_tables.verdict(row) == "the lead is confirmed" for row in leads)
    assert [row["low"] < row["paper"] < row["high"] for row in leads] == [False, True, False]
    assert {f"{row['mean']:.0f}" for row in leads + target} == {"6"}
    shown = pd.read_csv(ROOT / "reports/largest-mnist/differences.csv").query("method == 'lautum'")
    of_target = shown.query("baseline == 'lautum_source'")["p_holm"].max()
    assert f"Lautum is 6 points worse (p at most {np.ceil(of_target * 1e4) / 1e4:.4f}" in told
    images = shown.query("baseline == 'standard'")[["images_low", "images_high"]].to_numpy() * 100
    first, second, third = (f"[{points(low)}, {points(high)}]" for low, high in images)
    assert f"{first}, {second} and {third}" in told
    left = pd.read_csv(ROOT / "reports/largest-mnist/pretraining.csv").set_index("methods")["source_accuracy"] * 100
    of_standard = left[[name for name in left.index if name.startswith("standard")]].iloc[0]
    ends = f"{of_standard:.0f} % for Standard, {left['lautum']:.0f} % for Lautum and {left['lautum_source']:.0f} % with"
    assert f"source accuracy ends at {ends}" in told
    accuracies = pd.read_csv(ROOT / "reports/largest-mnist/accuracy.csv").set_index("method")["mean"] * 100
    ours, theirs = accuracies["lautum"], accuracies["standard"]
    assert f"Lautum has {min(ours):.0f} to {max(ours):.0f} % of ten letters" in told
    assert f"Standard {min(theirs):.0f} to {max(theirs):.0f} %" in told
    pretraining = [row for key, row in found.items() if key[1:3] == ("standard", "target_only")]
    assert all(row["low"] < 0 < row["high"] for row in pretraining)
    over_none = [*recompute.table("largest-mnist", [("lautum", "target_only")]).values()]
    assert all(row["low"] > 0 for row in over_none)
    first, second, third = (f"{points(row['mean'])} [{points(row['low'])}, {points(row['high'])}]" for row in over_none)
    assert f"networks without pre-training is {first}, {second} and {third} (looked at afterwards" in told
    longer = [row["mean"] for key, row in found.items() if key[1] == "temporal_ensembling"]
    assert f"{min(longer):.0f} to {max(longer):.0f} points ahead of Standard" in told

    mnist = recompute.maps()["MNIST → notMNIST small"]

    def of_map(baseline: str, late: bool) -> dict[tuple, list[float]]:
        paired = mnist.differences("lautum", baseline)
        return {key: [*some.values()] for key, some in paired.items() if key[0] == 5 and (key[1] >= 200) == late}

    early, late = of_map("standard", False), of_map("standard", True)
    bounds = [recompute_tables.interval(some) for some in early.values()]
    assert all(low <= 0 <= high for low, high in bounds)
    assert all(recompute_tables.interval(some)[1] < 0 for some in late.values())
    assert f"Until 100 steps Lautum − Standard is {ends_of(early)} points" in told
    assert f"and every interval holds zero; from 200 steps on it is {ends_of(late)} and none does" in told
    assert f"of source images is {ends_of(of_map('lautum_source', True))} then" in told
    seeds = mnist.declared["nearness"]["seeds"]
    standard = [
        np.mean([share for seed, share in some.items() if seed not in seeds])
        for (arm, universe, steps, _), some in mnist.accuracy.items()
        if arm == "standard" and universe == 5 and steps >= 200
    ]
    assert f"Standard has {min(standard):.0f} to {max(standard):.0f} %" in told
    # Of the two leads on the map that reached the paper's one is one of these three.
    assert mnist.as_large() == [(5, 50, 100), (47, 25, 100)]
    assert f"100 labels: {points(np.mean(early[5, 50, 100]))} with the map's three seeds" in told
    assert f"{points(leads[1]['mean'])} with 20; the paper's {points(leads[1]['paper'])}" in told


def test_what_is_said_of_the_setting_nearest_to_the_paper_is_what_was_found_again():
    """The universe is number 20, and what lasts is told by the map's seeds, which are others."""
    told = FINDINGS.partition("Of the setting nearest to the paper:")[2].partition("\n## ")[0]
    design = config.load(ROOT / "config/nearest-mnist.yaml")
    head = design.transfer_settings("mnist-notmnist-small", "lautum")
    assert (head.trained, head.head, head.optimiser, head.learning_rate) == ("hidden", "keep", "adam", 1e-4)
    assert (head.steps, head.batch_size) == (100, 128)  # of 50 and 100 labelled images a batch has no more than these
    assert "hidden layer and head, kept from the source, are trained" in FINDINGS
    assert "for 100 steps of up to 128 images with Adam at 1e-4; λ is 0.93" in FINDINGS
    assert design.pretrain_settings("mnist-notmnist-small", "lautum").weight == pytest.approx(0.93, abs=5e-3)

    found = recompute.table("nearest-mnist", recompute_tables.CONFIRMED)
    assert {row["n"] for row in found.values()} == {20}
    of = {pair: [row for key, row in found.items() if key[1:3] == pair] for pair in recompute_tables.CONFIRMED}
    leads = of["lautum", "standard"]
    assert all(recompute_tables.verdict(row) == "Lautum is behind" for row in leads)
    losses = [-row["mean"] for row in leads]
    behind = f"{min(losses):.0f} to {max(losses):.0f} points"
    assert f"Lautum is behind, by {behind}." in told
    assert f"Lautum is {behind} behind, its source accuracy at chance" in README
    shown = pd.read_csv(ROOT / "reports/nearest-mnist/differences.csv")
    images = shown.query("method == 'lautum' and baseline == 'standard'")[["images_low", "images_high"]].to_numpy()
    first, second, third = (f"[{points(low)}, {points(high)}]" for low, high in images * 100)
    assert f"{first}, {second} and {third}" in told
    without = of["standard", "target_only"]
    assert {f"{-row['mean']:.0f}" for row in without} == {"10"}
    assert "without pre-training the network is 10 points ahead of Standard at every label count" in told
    largest = shown.query("baseline == 'target_only'")["p_holm"].max()
    assert f"(p at most {np.ceil(largest * 1e4) / 1e4:.4f} after Holm's correction" in told
    for row in of["lautum", "lautum_source"]:
        assert row["low"] < 0 < row["high"] and min(row["within 1 point, Holm"], row["within 2 points, Holm"]) > 0.05
    assert "each interval of Lautum − Lautum of source images holds zero, and none is shown" in told
    slower = [-row["mean"] for row in of["temporal_ensembling", "standard"]]
    assert f"TE is {min(slower):.0f} to {max(slower):.0f} points behind Standard" in told

    left = pd.read_csv(ROOT / "reports/nearest-mnist/pretraining.csv").set_index("methods")["source_accuracy"] * 100
    lautum, of_source, standard = left["lautum"], left["lautum_source"], left["standard+temporal_ensembling"]
    assert lautum == pytest.approx(10, abs=2)  # of ten digits: by chance
    ends = f"they have {lautum:.0f} % of digits right, Lautum of source images {of_source:.0f} % too, Standard"
    assert f"{ends} {standard:.0f} %" in told

    mnist = recompute.maps()["MNIST → notMNIST small"]
    distances = mnist.distances()
    assert min(distances, key=distances.__getitem__) == (20, 100)
    accuracies = pd.read_csv(ROOT / "reports/nearest-mnist/accuracy.csv").query("method == 'standard'")
    papers = [recompute_tables.PAPER["mnist", count][0] for count in accuracies["labels"]]
    distance = np.sqrt(np.mean((100 * accuracies["mean"].to_numpy() - papers) ** 2))
    assert f"Standard is {distance:.1f} points from the paper's three figures" in told

    def in_the_end(method: str, baseline: str) -> dict[tuple, list[float]]:
        paired = mnist.differences(method, baseline)
        return {key: [*some.values()] for key, some in paired.items() if key[:2] == (20, mnist.budgets[-1])}

    last = in_the_end("lautum", "standard")
    assert f"after 1,000 steps Lautum − Standard is {ends_of(last)} points; at 200 labels the" in told
    assert "100 steps; 20 fresh seeds" in README and "its source accuracy at chance." in README
    assert min(float(np.mean(some)) for some in last.values()) > max(row["mean"] for row in leads)
    apart = [key[2] for key, some in last.items() if recompute_tables.interval(some)[1] < 0]
    assert apart == [200] and ends_of(last).startswith(points(np.mean(last[20, mnist.budgets[-1], 200])))
    ahead = [-float(np.mean(some)) for some in in_the_end("standard", "target_only").values()]
    assert f"After 1,000 steps it is {min(ahead):.0f} to {max(ahead):.0f} points ahead" in told
    bounds = [recompute_tables.interval(some) for some in in_the_end("standard", "target_only").values()]
    assert all(low < 0 < high for low, high in bounds)


def test_what_goes_with_the_losses_is_told_as_the_runs_have_it():
    cifar = recompute.maps()["CIFAR-10 → CIFAR-100"]
    collapsed, learnt = cifar.collapsed(), cifar.learnt()
    # One more lost a lot of its source, in all of its pre-trainings, but in none of them half.
    (nearly,) = [
        block for block, (standard, lautum) in learnt.items() if block not in collapsed and lautum < 0.6 * standard
    ]
    others = [block for block in cifar.blocks if block not in (*collapsed, nearly)]
    _, losses, _ = cifar.counts(collapsed)
    ahead_nearly, behind_nearly, _ = cifar.counts([nearly])
    ahead, behind, number = cifar.counts(others)
    *_, uncollapsed = cifar.counts([nearly, *others])
    all_of_them, two, rest = cifar.mechanism(), cifar.mechanism(collapsed), cifar.mechanism([*collapsed, nearly])
    worth = {
        arm: dict(zip(cifar.blocks, cifar.over_choices(cifar.differences(arm, "standard")), strict=True))[nearly]
        for arm in ("lautum", "lautum_source")
    }
    there = {
        key: [*some.values()]
        for key, some in cifar.differences("lautum", "standard").items()
        if key[0] // cifar.crossed == nearly
    }
    assert all(recompute_tables.interval(some)[1] < 0 for key, some in there.items() if key[1] >= 200)
    at_the_end = [float(np.mean(some)) for key, some in there.items() if key[1] == 800]
    left = cifar.joint(without=[*collapsed, nearly])
    assert f"p = {min(left.values()):.1f} and more after Holm's correction" in FINDINGS
    last = cifar.over_choices(
        {key: some for key, some in cifar.differences("lautum", "lautum_source").items() if key[2] == 500}
    )
    low, high = recompute_tables.interval(last)
    lost = {block: standard - lautum for block, (standard, lautum) in learnt.items() if block in others}
    fallen = {block: number for block, number in cifar.fallen("lautum").items() if number}
    (partly,) = fallen.keys() - {*collapsed}
    next_most = max(points_lost for block, points_lost in lost.items() if block != partly)
    whole = cifar.mechanism([*collapsed, nearly, partly])
    mk_mmd = dict(zip(cifar.blocks, cifar.over_choices(cifar.differences("mk_mmd", "standard")), strict=True))
    alone, others_too = mk_mmd.pop(partly), [*mk_mmd.values()]
    (mk_mmd_fallen,) = (number for number in cifar.fallen("mk_mmd").values() if number)
    assert cifar.fallen("mk_mmd")[partly] == mk_mmd_fallen
    overall = cifar.over_choices(cifar.differences("lautum", "lautum_source"))
    barely = recompute_tables.outside(last, 2)
    assert recompute_tables.outside(overall, 2) < barely < 0.05
    assert "Lautum of source images is equal within 2 points." in FINDINGS
    where, all_behind = (
        f"{NUMBERS[len(collapsed)]} of the {NUMBERS[len(cifar.blocks)]} ways of pre-training",
        cifar.counts(cifar.blocks)[1],
    )
    lost_nearly = f"({learnt[nearly][0]:.0f} → {learnt[nearly][1]:.0f} %"
    assert ahead_nearly == 0 and all_behind == losses + behind_nearly + behind
    assert f"{losses} of the {all_behind} comparisons in which Lautum is behind are in {where}" in README
    assert f"{behind_nearly} in a third, where it nearly did {lost_nearly}; both chosen afterwards)" in README
    for text in (
        f"{losses} of the {all_behind} comparisons in which it is behind are in the {NUMBERS[len(collapsed)]}",
        f"{behind_nearly} in a third that came near it {lost_nearly}; looked at afterwards).",
        f"in {behind_nearly + behind} comparisons of {uncollapsed}, by chance {0.025 * uncollapsed:.1f}.",
        f"losses are in {NUMBERS[len(collapsed) + 1]} of the {NUMBERS[len(cifar.blocks)]} ways of pre-training.**",
        f"In the other {NUMBERS[len(others)]} nothing is shown",
        f"by {-max(at_the_end):.0f} to {-min(at_the_end):.0f} points after 800. Source images in the term do the same "
        f"harm ({points(worth['lautum_source'])} points against Standard on average, Lautum "
        f"{points(worth['lautum'])}; looked",
        ", ".join(f"{standard:.0f} → {lautum:.0f} %" for standard, lautum in map(learnt.get, collapsed)),
        f"source accuracy at most {max(lost.values()):.1f} points are lost on average ({next_most:.1f} without the "
        f"one in which {NUMBERS[fallen[partly]]} of nine pre-trainings collapsed).",
        f"far more often than ahead ({all_behind} to {ahead}): ",
        f"{ahead} comparisons are ahead and {behind} behind, of {number}, about as many as chance alone would give "
        f"({0.025 * number:.1f} on each side)",
        f"| all settings | {span(all_of_them['source accuracy'])} | {span(all_of_them['logit scale'])} |",
        f"| without the two collapsed ways | {span(two['source accuracy'])} | {span(two['logit scale'])} |",
        f"| without the third too: {NUMBERS[cifar.crossed * len(others)]} settings, {NUMBERS[len(others)]} ways | "
        f"{span(rest['source accuracy'])} | {span(rest['logit scale'])} |",
        f"| without the one that collapsed in part, too | {span(whole['source accuracy'])} | "
        f"{span(whole['logit scale'])} |",
        f"its mean, {points(np.mean([*others_too, alone]))} points, comes mostly from one way of pre-training, "
        f"{points(alone)}, in which {NUMBERS[mk_mmd_fallen]} of nine of its pre-trainings collapsed (the others: "
        f"{points(np.mean(others_too))})",
        f"that is shown too ({points(last.mean())} points [{points(low)}, {points(high)}]; p = {barely:.2g}, looked at",
    ):
        assert text in FINDINGS
    leads = {key: [*some.values()] for key, some in cifar.differences("lautum", "standard").items()}
    sure = {
        key: recompute_tables.interval(some) for key, some in leads.items() if recompute_tables.interval(some)[0] > 0
    }
    (setting,) = {key[0] for key in cifar.as_large()}
    elsewhere = {key: sure.pop(key) for key in [*sure] if key[0] != setting}
    own = [f"{points(np.mean(leads[key]))} [{points(low)}, {points(high)}]" for key, (low, high) in elsewhere.items()]
    assert f"The other two, in two other settings, are {' and '.join(own)}; no" in FINDINGS
    assert len({key[0] for key in elsewhere}) == 2 and len(sure) == ahead - 2 == 3
    assert f"Three of the {NUMBERS[ahead]} that are ahead" in FINDINGS
    assert {key[1] for key in (*sure, *cifar.as_large())} == {50, 100}
    there = [cifar.standard(key) for key in (*sure, *cifar.as_large())]
    best = max(sure, key=lambda key: np.mean(leads[key]))
    most = f"{points(np.mean(leads[best]))} [{points(sure[best][0])}, {points(sure[best][1])}]"
    assert f"where Standard has {min(there):.0f} to {max(there):.0f} %: at most {most}." in FINDINGS
    # Of the choices themselves there is one source, the sample.
    levels = config.load(ROOT / "config/universes-cifar.yaml").universes.levels()
    weight = {block: levels[block * cifar.crossed]["lambda"] for block in cifar.blocks}
    low, high = sorted(collapsed, key=weight.__getitem__)
    told = [(low, "0.0013"), (high, "0.09"), (partly, "0.0026"), (nearly, "0.045")]
    between = [block for block in others if weight[low] < weight[block] < weight[high] and block not in fallen]
    told += zip(sorted(between, key=weight.__getitem__), ("0.005", "0.01"), strict=True)
    assert all(weight[block] == pytest.approx(float(value), rel=0.1) for block, value in told)
    few = [block for block in others if weight[block] < 0.001]
    often = (
        f"{NUMBERS[fallen[partly]]} with 0.0026, {NUMBERS[fallen[low]]} with 0.0013, {NUMBERS[fallen[high]]} with 0.09"
    )
    none = f"none collapsed with λ below 0.001 ({NUMBERS[len(few)]} ways), 0.005, 0.01 and 0.045"
    rate = {block: levels[block * cifar.crossed]["source rate"] for block in cifar.blocks}
    assert {b for b in cifar.blocks if weight[b] >= 0.0013 and rate[b] < 0.0005} == {*collapsed, nearly}
    ends = zip(
        cifar.left["lautum", nearly * cifar.crossed], cifar.left["standard", nearly * cifar.crossed], strict=True
    )
    ends = [100 * own[0] / standard[0] for own, standard in ends]
    kept = f"with 0.045 all nine came near it ({min(ends):.0f} to {max(ends):.0f} % of Standard's accuracy)"
    assert f"Of the nine pre-trainings of a way {none}, {often}; {kept}" in FINDINGS
    assert not {*few} & fallen.keys()
    for some in recompute.maps().values():
        table = pd.read_csv(some.path.with_name("joint.csv"))
        told = [f"{p:.2g}" for p in table["holm"]]
        assert f"p = {', '.join(told)} at" in FINDINGS or (f"p = {told[0]} at each" in FINDINGS and len({*told}) == 1)
    mnist = recompute.maps()["MNIST → notMNIST small"]
    _, behind, number = mnist.counts([block for block in mnist.blocks if block not in mnist.collapsed()])
    assert f"where nothing collapsed, in {behind} of {number} comparisons" in FINDINGS
    leads = mnist.over_choices(mnist.differences("lautum", "standard"))
    below = f"{NUMBERS[int((leads < 0).sum())]} of the {NUMBERS[len(leads)]} ways of pre-training"
    span_of_leads = f"({points(min(leads))} to {points(max(leads))} points)"
    assert f"mean lead is below zero in {below} {span_of_leads}" in FINDINGS
    assert f"behind also where nothing collapsed, in {behind} of {number}" in README
    low, high = recompute_tables.interval(mnist.over_choices(mnist.differences("lautum", "lautum_source")))
    ways = f"{NUMBERS[len(mnist.blocks)].capitalize()} ways of pre-training"
    assert low < 0 < high and f"{ways} do not decide whether the target's images help." in FINDINGS
    pairs = ("mk_mmd", "standard"), ("standard", "target_only")
    ahead, more = (mnist.over_choices(mnist.differences(*pair)) for pair in pairs)
    assert recompute_tables.interval(ahead)[0] > 0 and recompute_tables.interval(more)[0] > 0
    told = f"Mk-MMD is ahead of Standard by {ahead.mean():.1f} points and Standard of no pre-training by"
    assert f"{told} {more.mean():.1f}, with intervals that leave out zero" in FINDINGS
    for some, campaign, also in ((mnist, "mnist", ""), (cifar, "cifar", " (its rank and decay)")):
        what_decides = pd.read_csv(ROOT / f"reports/universes-{campaign}/decomposition.csv").set_index("factor")
        shares, more = what_decides["share"], what_decides.query("holm < 0.05")
        assert [*more.index] == (["budget"] if some is mnist else [])
        between, within = (100 * shares[name] for name in (specifications.BETWEEN, specifications.WITHIN))
        first, share = shares.index[0], 100 * shares.iloc[0]
        said = (
            f"What decides most is the {first} ({share:.0f}% of the variance, not shown to be more than chance gives)."
        )
        assert said == some.decides() and share < 13
        hardly = f"{between:.0f} % lies"
        for text in (
            f"By the declared rule the {first}{also} decides most, with {share:.0f} % of the variance beside all other",
            f"{hardly} between these ways, {within:.0f} % between the post-transfer choices within them",
        ):
            assert text in FINDINGS
    assert (what_decides["holm"].dropna() == 1).all() and "(p = 1 for each after Holm's correction; looked" in FINDINGS
    more = pd.read_csv(ROOT / "reports/universes-mnist/decomposition.csv").set_index("factor").query("holm < 0.05")
    for text in (
        f"only the number of steps is shown to explain more than chance gives "
        f"({100 * more.loc['budget', 'share']:.0f} %; "
        f"p = {more.loc['budget', 'holm']:.2g} after Holm's correction; looked at",
    ):
        assert text in FINDINGS
    placebo = mnist.differences("lautum_shuffled", "standard")
    worth = mnist.over_choices(placebo)
    low, high = recompute_tables.interval(worth)
    behind = mnist.over_choices(mnist.differences("lautum_shuffled", "lautum"))
    assert high < 0 and recompute_tables.interval(behind)[0] > 0  # the placebo costs something, Lautum more
    bounds = [recompute_tables.interval([*some.values()]) for some in placebo.values()]
    sides = sum(high < 0 for _, high in bounds), sum(low > 0 for low, _ in bounds)
    learnt = [np.mean(left, axis=0)[0] for (arm, _), left in mnist.left.items() if arm == "lautum_shuffled"]
    for text in (
        f"in the {NUMBERS[len(behind)]} ways of pre-training in which that was tried Lautum is behind these by "
        f"{behind.mean():.1f} points",
        f"behind Standard by {-worth.mean():.1f} [{points(-high)}, {points(-low)}], in {sides[0]} of {len(bounds)} "
        f"comparisons, ahead in {sides[1]} (looked at afterwards)",
        f"the source stays learnt ({min(learnt):.0f} to {max(learnt):.0f} %)",
        f"is {-mnist.over_choices(mnist.differences('temporal_ensembling', 'standard')).mean():.0f} points behind",
    ):
        assert text in FINDINGS


def test_what_is_said_of_the_largest_lead_of_all_is_as_the_runs_have_it():
    mnist = recompute.maps()["MNIST → notMNIST small"]
    leads, over_none = mnist.differences("lautum", "standard"), mnist.differences("standard", "target_only")
    cells = [(universe, steps) for universe, steps, labels in leads if labels == 50]
    means = {cell: np.mean([[*leads[*cell, labels].values()] for labels in mnist.labels]) for cell in cells}
    there = max(means, key=means.__getitem__)
    design = config.load(ROOT / "config/universes-mnist.yaml")
    assert len(mnist.blocks) * mnist.crossed == design.universes.count
    chosen = design.universes.levels()[there[0]]
    assert chosen["trained"] == "head" and chosen["head"] == "kept"
    assert there[0] // mnist.crossed == mnist.blocks[-1]
    assert mnist.over_choices(leads)[-1] == max(mnist.over_choices(leads)) > 0
    assert there == (46, 200)
    gains, bounds, worse, none, standard = [], [], [], [], []
    for labels in mnist.labels:
        some, other = leads[*there, labels], over_none[*there, labels]
        gains.append(np.mean([*some.values()]))
        bounds.append(recompute_tables.interval([*some.values()]))
        worse.append(-np.mean([*other.values()]))
        none.append(gains[-1] - worse[-1])
        standard.append(mnist.standard((*there, labels)))
    assert [low > 0 for low, _ in bounds] == [False, False, True]
    for text in (
        f"{points(gains[0])}, {points(gains[1])} and {points(gains[2])} points at 50, 100 and 200 labels, "
        f"after {there[1]} steps of the head alone",
        f"([{points(bounds[2][0])}, {points(bounds[2][1])}]; three seeds)",
        f"{min(standard):.0f} to {max(standard):.0f} % of letters right",
        f"networks without pre-training are {min(worse):.0f} to {max(worse):.0f} points ahead of it",
        f"lead over these is {points(none[0])}, {points(none[1])} and {points(none[2])} (looked at afterwards)",
    ):
        assert text in FINDINGS
    (other,) = [key for key in mnist.as_large() if key[0] >= 24]
    one, two, three = leads[other].values()
    said = f"{points(np.mean([one, two, three]))} at {other[2]} labels after {other[1]} steps, is the mean of "
    assert f"{said}{points(one)}, {points(two)} and {points(three)}" in FINDINGS


def test_what_is_said_of_the_largest_lead_of_all_is_what_was_found_again():
    """The universe is number 46, and what lasts is told by the map's seeds, which are others."""
    told = FINDINGS.partition("Of the largest lead of all 48 settings:")[2].partition("Of the setting nearest")[0]
    campaign = "largest-of-48-mnist"
    design = config.load(ROOT / f"config/{campaign}.yaml")
    head = design.transfer_settings("mnist-notmnist-small", "lautum")
    assert (head.trained, head.head, head.steps, head.batch_size, head.optimiser) == ("head", "keep", 200, 128, "adam")
    assert head.learning_rate == 3e-4 and "for 200 steps of up to 128 images with Adam at 3e-4; λ is 0.01." in FINDINGS
    assert design.pretrain_settings("mnist-notmnist-small", "lautum").weight == pytest.approx(0.01, abs=5e-4)
    not_declared = ("lautum_source", "standard"), ("lautum", "target_only")
    found, others = (recompute.table(campaign, pairs) for pairs in (recompute_tables.CONFIRMED, not_declared))
    assert {row["n"] for row in found.values()} == {20}
    of = {
        pair: [row for key, row in {**found, **others}.items() if key[1:3] == pair]
        for pair in (*recompute_tables.CONFIRMED, *not_declared)
    }
    leads, of_source, over_none = of["lautum", "standard"], of["lautum_source", "standard"], of["lautum", "target_only"]
    assert all(recompute_tables.verdict(row) == "the lead is confirmed" for row in leads)
    first, second, third = (points(row["mean"]) for row in leads)
    papers = ", ".join(points(row["paper"]) for row in leads).replace(", +16", " and +16")
    assert f"near the paper's**: {first}, {second} and {third} points, where the paper has {papers};" in told
    shown = pd.read_csv(ROOT / f"reports/{campaign}/differences.csv")
    shown_leads = shown.query("method == 'lautum' and baseline == 'standard'")
    images = 100 * shown_leads[["images_low", "images_high"]].to_numpy()
    for (low, high), row, more in zip(images, leads, (False, True, False), strict=True):
        assert low > row["paper"] / 2 and (low > row["paper"] if more else high < row["paper"])
    records = pd.read_csv(ROOT / f"reports/{campaign}/records.csv")
    by_seed = (100 * records["correct"] / records["n_images"]).groupby([records["method"], records["seed"]]).mean()
    of_seeds = (by_seed["lautum"] - by_seed["standard"]).to_numpy()
    (low, high), paper = recompute_tables.interval(of_seeds), points(np.mean([row["paper"] for row in leads]))
    average = f"{points(of_seeds.mean())} [{points(low)}, {points(high)}]"
    assert f"the mean is {average}, the paper's {paper} (this mean was not declared)" in told
    assert f"a short-lived lead near them**, {average} on average after 200 steps (the paper: {paper})." in README
    first, second, third = (f"[{points(low)}, {points(high)}]" for low, high in images)
    assert f"{first}, {second} and {third}: more than half" in told
    worse = [row["mean"] for row in of["lautum", "lautum_source"]]
    p = shown.query("baseline == 'lautum_source'")["p_holm"].max()
    assert f"is {min(worse):.0f} to {max(worse):.0f} points worse (p at most {np.ceil(p * 1e4) / 1e4:.4f}" in told
    assert "there pre-training does harm, and Lautum was not found ahead of none" in README
    assert all(row["high"] < 0 for row in of["standard", "target_only"])
    for rows, ends in ((of_source, "(looked at"), (over_none, "points (declared")):
        first, second, third = (f"{points(r['mean'])} [{points(r['low'])}, {points(r['high'])}]" for r in rows)
        assert f"is {first}, {second} and {third} {ends}" in told
        assert all(row["low"] < 0 < row["high"] for row in rows)
    left = pd.read_csv(ROOT / f"reports/{campaign}/pretraining.csv").set_index("methods")["source_accuracy"] * 100
    of_standard, ours, of_images = left["standard+temporal_ensembling"], left["lautum"], left["lautum_source"]
    ends = f"{of_standard:.0f} % for Standard, {ours:.0f} % for Lautum and {of_images:.0f} % with source images"
    assert f"source accuracy ends at {ends}" in told
    worse = [-row["mean"] for row in of["standard", "target_only"]]
    assert f"a head on random features is {min(worse):.0f} to {max(worse):.0f} points ahead of Standard" in told
    slower = [-row["mean"] for row in of["temporal_ensembling", "standard"]]
    assert f"TE, with its longer schedule, is {min(slower):.0f} to {max(slower):.0f} points behind" in told
    assert all(row["high"] < 0 for row in of["temporal_ensembling", "standard"])
    mmd = of["mk_mmd", "standard"]
    assert [row["low"] < 0 < row["high"] for row in mmd] == [False, True, True]
    assert f"Mk-MMD is behind it by {-mmd[0]['mean']:.1f} points at 50 labels and not told apart elsewhere" in told
    accuracies = pd.read_csv(ROOT / f"reports/{campaign}/accuracy.csv").set_index("method")["mean"] * 100
    span_of = {name: f"{min(accuracies[name]):.0f} to {max(accuracies[name]):.0f} %" for name in accuracies.index}
    below = [
        recompute_tables.PAPER["mnist", n][0] - mean
        for n, mean in zip((50, 100, 200), accuracies["standard"], strict=True)
    ]
    assert f"Lautum has {span_of['lautum']} of ten letters right, Standard {span_of['standard']}, which is" in told
    assert f"which is {min(below):.0f} to {max(below):.0f} points below the paper's Standard" in told
    scratch = design.transfer_settings("mnist-notmnist-small", "target_only")
    assert (scratch.trained, scratch.head) == ("head", "keep")
    first_source = recompute.table("largest-mnist", [not_declared[0]])
    assert all(row["low"] < 0 < row["high"] for row in first_source.values())
    assert "In both only the head is trained, and source images give no lead." in README
    first_target = recompute.table("largest-mnist", [("lautum", "lautum_source")])
    assert all(row["low"] > 0 for row in (*of["lautum", "lautum_source"], *first_target.values()))

    mnist = recompute.maps()["MNIST → notMNIST small"]
    paired = mnist.differences("lautum", "standard")
    later = {steps: [[*paired[46, steps, labels].values()] for labels in mnist.labels] for steps in (400, 1000)}
    for steps, ends in ((400, "After 400 steps Lautum − Standard is {} points (only"), (1000, "after 1,000 it is {},")):
        assert ends.format(ends_of(dict(enumerate(later[steps])))) in told
    assert [recompute_tables.interval(some)[1] < 0 for some in later[1000]] == [False, True, True]
    assert "after 1,000 steps Lautum is behind at two of three label counts." in FINDINGS
    accurate = [mnist.standard((46, 1000, labels)) for labels in mnist.labels]
    assert f"where Standard has {min(accurate):.0f} to {max(accurate):.0f} %" in told
    last = [[*paired[universe, 1000, labels].values()] for universe in (5, 46) for labels in mnist.labels]
    behind = NUMBERS[sum(recompute_tables.interval(some)[1] < 0 for some in last)]
    assert f"After 1,000 steps Lautum is behind in {behind} of their {NUMBERS[len(last)]} comparisons" in README
    assert f"after 1,000 steps Lautum is behind there in {behind} of {NUMBERS[len(last)]} comparisons" in FINDINGS
    harm = mnist.differences("standard", "target_only")
    harm = {labels: [*harm[46, 1000, labels].values()] for labels in mnist.labels}
    assert f"after 1,000 it is {ends_of(harm)}, and only that at 200 labels does" in told
    assert [recompute_tables.interval(some)[1] < 0 for some in harm.values()] == [False, False, True]
    harm = {
        labels: [*mnist.differences("standard", "target_only")[46, 400, labels].values()] for labels in mnist.labels
    }
    assert f"After 400 steps Standard − no pre-training is {ends_of(harm)} points, and every interval leaves" in told
    assert all(recompute_tables.interval(some)[1] < 0 for some in harm.values())
    assert [recompute_tables.interval(some)[0] > 0 for some in later[400]] == [False, False, True]
    assert 46 not in {universe for universe, _, _ in mnist.as_large()}


def test_what_the_gpu_trained_is_told_as_the_configuration_has_it():
    design = config.load(ROOT / "config/universes-cifar.yaml")
    layout, done = Layout(design), re.search(r"The first (\d+) universes", CLUSTER)
    assert done is not None
    cells = [cell for cell in layout.cells() if design.methods[cell.method].universe < int(done[1])]
    stages, images = set(), 0
    for cell in cells:
        arm = design.methods[cell.method].arm
        after = design.transfer_settings(cell.task, cell.method)
        images += after.steps * min(after.batch_size, cell.labels)
        path = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
        if arm != "target_only" and path not in stages:
            before = design.pretrain_settings(cell.task, cell.method)
            # Lautum of source images takes those that it is trained on anyway.
            images += before.steps * before.batch_size * (2 if arm in ("mk_mmd", "lautum") else 1)
        stages |= {path} if arm != "target_only" else set()
    text = " ".join(CLUSTER.split())
    assert f"{len(stages)} pre-trainings and {len(cells)} post-trainings" in text
    took = re.search(r"that their settings ask for ([\d,]+) a second", text), re.search(r"cells`: (\d+) s", text)
    second, seconds = (int(found[1].replace(",", "")) for found in took if found)
    assert images / seconds == pytest.approx(second, abs=500)


def span(values: list[float]) -> str:
    return f"{points(min(values), 2)} to {points(max(values), 2)}"


def ends_of(some: dict[tuple, list[float]]) -> str:
    """The least and the largest mean."""
    means = [float(np.mean(values)) for values in some.values()]
    return f"{points(min(means))} to {points(max(means))}"


def points(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
