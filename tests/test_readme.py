"""What the README and the documents show is what the committed records give; links lead somewhere; the example runs."""

import json
import re
import tomllib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Literal, get_args, get_origin

import committed
import pandas as pd
import pytest
import recompute_tables
import torch
import yaml
from scipy import stats

from lautum import cli
from lautum.experiment import config
from lautum.objectives import source_only, supervised
from lautum.objectives.settings import StageSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}
FINDINGS, PROTOCOL, DESIGN, THEORY = (PAGES[f"docs/{name}.md"] for name in ("findings", "protocol", "design", "theory"))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130
    assert len([word for word in README.split() if word.strip("|-")]) <= 1200  # not what draws tables


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


def anchors(markdown: str) -> set[str]:
    """Of the headings of a page, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL))
    for link in links:
        target, _, anchor = link.partition("#")
        if target.startswith("https://"):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), link


def test_every_document_is_in_the_index():
    index = README.partition("## Documentation")[2]
    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in index] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_command_and_target_that_is_named_exists(page):
    named = set(
        re.findall(
            r"(?<![\w/.-])(?:config|reports|docs|profiles|lautum|results|tests|examples)/[\w./-]+\w\.(?:yaml|md|py|png|csv|html|json)\b",
            PAGES[page],
        )
    )
    made = {path for path in named if path.startswith(("reports/quickstart/", "reports/my_campaign/"))}
    assert [path for path in sorted(named - made) if not (ROOT / path).exists()] == []
    code = "\n".join(
        "".join(found) for found in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", PAGES[page], flags=re.DOTALL)
    )
    steps = set(re.findall(r"(?<![\w./])lautum ([a-z]+)\b(?! &&)", code))
    assert steps <= set(cli.COMMANDS)
    targets = set(re.findall(r"(?<![\w/])make ([a-z]+)", code))
    rules = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert targets <= rules
    if page == "README.md":
        assert {"quickstart", "test", "bench", "faults", "fuzz"} <= targets
        assert {"status", "compare", "new"} <= steps


@pytest.mark.parametrize("name", ["accuracy", "claims"])
@pytest.mark.parametrize("campaign", ["notmnist-small", "published"])
def test_the_tables_are_those_rendered_from_the_records(campaign, name):
    rendered = (ROOT / f"reports/{campaign}/{name}.md").read_text(encoding="utf-8")
    table, _, caption = rendered.partition("\n\n")
    assert table in FINDINGS
    assert caption.strip() in FINDINGS


def shows(page: str, *numbers: str) -> bool:
    """Whether a paragraph of the page has these numbers in this order, whatever the words between them."""
    pattern = ".*?".join(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)" for number in numbers)
    return any(re.search(pattern, " ".join(paragraph.split())) for paragraph in re.split(r"\n\n|\n(?=[*-] )", page))


def test_runs_of_the_published_campaign_were_repeated_to_the_byte():
    runs = [pd.read_csv(ROOT / f"reports/{name}/records.csv") for name in ("published", "controls")]
    both = runs[0].merge(runs[1], on=["task", "method", "labels", "seed"], suffixes=("", "_again"))
    assert f"{len(both)} published runs" in README
    assert shows(DESIGN, f"{len(both)} of the published runs", "2.14.1", "2.15.0", f"all {len(both)}")
    assert (both["predictions_sha256"] == both["predictions_sha256_again"]).all()
    assert set(both["torch"]) == {"2.15.0+cu132"} and set(both["torch_again"]) == {"2.14.1+cu130"}


def test_the_quick_start_takes_as_long_as_it_was_measured_to():
    table = pd.read_csv(ROOT / "reports/overhead.csv")
    wall = table.loc[table["what"].str.startswith("quick start"), "wall"]
    assert len(wall) == (ROOT / "Makefile").read_text(encoding="utf-8").count("--configfile config/quickstart")
    minutes, seconds = divmod(round(wall.sum()), 60)
    assert shows(README, f"{minutes} min {seconds} s on two cores")


def rounded(value: float, digits: str = "0.1", sign: str = "") -> str:
    """Halves, which shares of 1,000 images often are, go away from zero."""
    return f"{Decimal(f'{value:.8f}').quantize(Decimal(digits), rounding=ROUND_HALF_UP):{sign}}".replace("-", "−")


def tenths(share: float) -> str:
    """In points with one decimal."""
    return rounded(100 * share, sign="+")


def differences(campaign: str, task: str, method: str, baseline: str) -> tuple[list[str], list[str]]:
    """Means and intervals of a comparison at each label count, in points, as the documents write them."""
    table = pd.read_csv(ROOT / f"reports/{campaign}/differences.csv")
    rows = table[(table["task"] == task) & (table["method"] == method) & (table["baseline"] == baseline)]
    points = rows[["mean", "low", "high"]].map(tenths)
    return points["mean"].tolist(), [
        f"[{low}, {high}]" for low, high in zip(points["low"], points["high"], strict=True)
    ]


def in_turn(means: list[str], intervals: list[str]) -> list[str]:
    return [text for pair in zip(means, intervals, strict=True) for text in pair]


def published() -> pd.DataFrame:
    return pd.read_csv(ROOT / "reports/published/differences.csv")


def small() -> pd.DataFrame:
    return pd.read_csv(ROOT / "reports/notmnist-small/differences.csv")


def tuned() -> pd.DataFrame:
    """The paper's comparisons in both of its tables, every method tuned; corrected within the family of each task."""
    table = pd.concat([small(), published().query("task == 'cifar10-cifar100'")], ignore_index=True)
    return table[~table[["method", "baseline"]].eq("temporal_ensembling_unweighted").any(axis=1)]


def test_the_result_in_the_readme_is_that_of_the_records():
    result = README.partition("## The result")[2].partition("\n## ")[0]
    for figure in ("notmnist-small/mnist-notmnist-small", "published/cifar10-cifar100"):
        assert f'<img src="reports/{figure}-differences.png"' in result
    assert len(re.findall(r"^\* .*\.$", result, flags=re.MULTILINE)) <= 5

    table = tuned()
    lautum = table[(table["method"] == "lautum") & (table["baseline"] == "standard")]
    average = lautum.groupby("task")[["mean", "paper"]].mean().map(tenths)
    seeds = {task: set(rows["n"]) for task, rows in table.groupby("task")}
    assert seeds == {"mnist-notmnist-small": {20}, "cifar10-cifar100": {10}}
    assert "with tuned methods**: after 16 trials each" in result
    assert "(small networks; 20 paired seeds on MNIST, 10 on CIFAR)" in result
    assert shows(
        result,
        *(
            average.loc[task, column]
            for task in ("mnist-notmnist-small", "cifar10-cifar100")
            for column in ("mean", "paper")
        ),
    )
    leading, papers = tenths(lautum["mean"].max()).lstrip("+"), lautum["paper"].map(tenths).str.lstrip("+")
    assert f"is at most {leading} points, where the paper has {min(papers, key=float)} to" in result
    assert f" to {max(papers, key=float)}. **One of 48 untuned settings" in result
    apart = lautum[(lautum["low"] > 0) | (lautum["high"] < 0)]
    assert len(lautum) == 6 and [*apart[["task", "labels"]].itertuples(index=False, name=None)] == [
        ("mnist-notmnist-small", 100),
        ("cifar10-cifar100", 100),
    ]
    assert shows(result, "100 labels", *apart["mean"].map(tenths).str.lstrip("+"))
    letters, cifar = apart.itertuples()
    lead = f"it is {tenths(letters.mean)} [{tenths(letters.low)}, {tenths(letters.high)}] on MNIST, significant after"
    assert letters.p_holm < 0.05 and f"{lead} Holm's correction (the paper: {tenths(letters.paper)};" in result
    fresh = some_seeds("notmnist-small", "mnist-notmnist-small", 100, "lautum", "standard", slice(10, 20))
    assert f"ten fresh seeds alone: +{rounded(fresh[0])}, not significant)" in result and fresh[1] < 0
    assert f"and {tenths(cifar.mean)} on CIFAR, not significant" in result and cifar.p_holm > 0.05
    significant = table[table["p_holm"] < 0.05]
    ahead = significant["method"].where(significant["mean"] > 0, significant["baseline"])
    assert (len(significant), len(table)) == (10, 30)
    told = (
        "Of the 30 differences that the paper has too, ten are significant (sign-flip test, Holm): seven with TE ahead"
    )
    assert f"{told}, one with Lautum ahead of Standard, two ahead of Mk-MMD." in result
    assert ahead.value_counts().to_dict() == {"temporal_ensembling": 7, "lautum": 3}
    of_lautum = {*significant.loc[ahead == "lautum", ["task", "baseline", "labels"]].itertuples(index=False, name=None)}
    assert of_lautum == {
        ("mnist-notmnist-small", baseline, labels)
        for baseline, labels in (("standard", 100), ("mk_mmd", 50), ("mk_mmd", 100))
    }
    found = table[table["p_t_holm"] < 0.05]
    ahead = found["method"].where(found["mean"] > 0, found["baseline"])
    assert ahead.value_counts().to_dict() == {"temporal_ensembling": 11, "lautum": 3}
    again = found.loc[ahead == "lautum", ["task", "baseline", "labels"]]
    assert {*again.itertuples(index=False, name=None)} == of_lautum
    told = (
        "fourteen of all 30 are: eleven with Temporal Ensembling ahead, and three with Lautum ahead, of Standard at 100"
    )
    assert f"{told} labels and of Mk-MMD at 50 and 100." in FINDINGS


def test_the_verdicts_of_the_headline_are_those_of_the_records():
    table = tuned()
    lautum = table[(table["method"] == "lautum") & (table["baseline"] == "standard")]
    assert (
        len(lautum) == 6 and set(lautum["size"]) == {"differs"} and "All six gains differ from the paper's." in FINDINGS
    )
    letters, only = lautum[(lautum["low"] > 0) | (lautum["high"] < 0)].itertuples()
    assert (letters.labels, only.labels, only.task) == (100, 100, "cifar10-cifar100")
    assert f"p = {letters.p:.3f}, {letters.p_holm:.3f} after Holm's correction over {len(small())}" in FINDINGS
    assert shows(
        FINDINGS, f"{100 * only.low:.3f}", f"{100 * only.images_low:.3f}", f"{only.p:.3f}", f"{only.p_holm:.2f}"
    )
    significant = table[table["p_holm"] < 0.05]
    assert letters.p_holm < 0.05 < only.p_holm and f"after Holm's correction (p = {letters.p_holm:.3f};" in FINDINGS
    assert len(significant) - 1 == 9 and len(table) - len(lautum) == 24
    assert (
        "Two of the six intervals leave out zero" in FINDINGS
        and "Of the paper's 24 other comparisons nine are: seven with" in FINDINGS
    )
    (cifar,) = significant[significant["task"] == "cifar10-cifar100"].itertuples()
    others = table[(table["task"] == cifar.task) & (table["p_holm"] > cifar.p_holm)]
    assert shows(FINDINGS, f"{cifar.p_holm:.3f}", f"{others['p_holm'].min():.3f}")
    for campaign, expected in (
        ("published", [["cifar10-cifar100", "temporal_ensembling", "standard"]]),
        ("notmnist-small", []),
    ):
        claims = pd.read_csv(ROOT / f"reports/{campaign}/claims.csv")
        reproduced = claims.loc[claims["verdict"] == "reproduced", ["task", "method", "baseline"]]
        assert reproduced.to_numpy().tolist() == expected


def test_the_table_on_notmnist_is_told_as_its_records_have_it():
    told = FINDINGS.partition("\n## MNIST → notMNIST\n")[2].partition("### On fewer images")[0]
    table = small().set_index(["method", "baseline", "labels"]).sort_index()
    te, control = "temporal_ensembling", "temporal_ensembling_unweighted"

    def lead(method: str, baseline: str, labels: int, sign: int = 1) -> str:
        row = table.loc[(method, baseline, labels)]
        low, high = sorted((sign * row["low"], sign * row["high"]))
        return f"{tenths(sign * row['mean']).lstrip('+')} ([{tenths(low)}, {tenths(high)}])"

    gains = [f"{tenths(table.loc[('lautum', 'standard', labels), 'mean'])}" for labels in (50, 100, 200)]
    shown = [lead("lautum", "standard", labels).partition(" (")[2] for labels in (50, 100, 200)]
    first, second, third = (f"{gain} ({ends}" for gain, ends in zip(gains, shown, strict=True))
    assert f"Lautum − Standard is {first}, {second} and {third} at 50, 100 and 200 labels" in told
    over = [lead("lautum", "mk_mmd", labels) for labels in (50, 100)]
    assert f"Lautum is ahead of Mk-MMD by {' and '.join(over)} at 50 and 100 labels" in told
    both = table.loc[("lautum", "mk_mmd")].loc[[50, 100]]
    assert "where the paper has " + " and ".join(rounded(100 * some) for some in both["paper"]) in told
    p = " and ".join(f"{p:.3f}" for p in both["p_holm"])
    assert f"Both are significant (p = {p} after" in told and both["p_holm"].max() < 0.05
    behind = [lead("lautum", te, labels, -1) for labels in (100, 200)]
    assert f"TE is ahead of Lautum by {' and '.join(behind)} at 100 and 200 labels" in told
    pairs = [("lautum", te), (te, "standard"), ("mk_mmd", te)]
    rows = [table.loc[(*pair, labels)] for pair in pairs for labels in (100, 200)]
    means = [tenths(abs(row["mean"])).lstrip("+") for row in rows]
    assert shows(told, *means[:2], *(rounded(100 * row["paper"]) for row in rows[:2]), *means[2:])
    most = f"{max(row['p_holm'] for row in rows):.3f}"
    assert f"All six are significant after Holm's correction (p at most {most})" in told and most == "0.002"
    worse = [lead(te, control, labels) for labels in (50, 100, 200)]
    assert f"has them, it is {', '.join(worse[:2])} and {worse[2]} points worse at 50, 100 and 200," in told
    alone = [lead(control, "standard", labels, -1).partition(" ")[0] for labels in (50, 100, 200)]
    ends = [lead(control, "standard", labels).partition("(")[2].rstrip(")") for labels in (50, 100, 200)]
    assert f"by {', '.join(alone[:2])} and {alone[2]} ({', '.join(ends)}), all significantly." in told
    assert all(table.loc[pair, "p_holm"].max() < 0.05 for pair in ((te, control), (control, "standard")))
    gain = table.loc[("lautum", "standard", 100)]
    assert f"e is {gain['e']:.0f}, which for this one comparison alone" in told and gain["e"] > 20
    left = pd.read_csv(ROOT / "reports/notmnist-small/pretraining.csv").set_index("methods")["source_accuracy"] * 100
    others = {f"{share:.0f}" for methods, share in left.items() if methods != "lautum"}
    assert f"ends at {left['lautum']:.0f} % on average, against {others.pop()} % for" in told and not others
    trials = pd.read_csv(ROOT / "reports/tuning-mnist-notmnist-small/trials.csv").query("method == 'lautum'")
    trials["weight"] = trials["settings"].str.extract(r"pretrain.weight ([\d.e-]+)")[0].astype(float)
    best, (winner,) = trials[trials["rung"] == trials["rung"].max()], trials[trials["selected"]].itertuples()
    assert f"At the weight that was selected, {winner.weight:.2g}, Lautum" in told
    ends = f"{best['weight'].min():.2g} to {best['weight'].max():.2g}"
    low, high = (rounded(100 * share) for share in (best["accuracy"].min(), best["accuracy"].max()))
    assert len(best) == 4 and f"The four best trials, with weights from {ends}, are" in told
    assert set(best["runs"]) == {4} and f"{low} to {high} % of the validation images, means of four seeds" in told
    assert best["accuracy"].max() - best["accuracy"].min() < best["sd"].min() / 2  # the standard error of four
    runs = pd.read_csv(ROOT / "reports/notmnist-small/records.csv", dtype={"commit": str})
    assert set(runs["n_images"]) == {10000} and "18,230 letters, 10,000 of them test images" in told
    fresh = {
        labels: some_seeds("notmnist-small", "mnist-notmnist-small", labels, "lautum", baseline, slice(10, 20))
        for labels, baseline in ((50, "mk_mmd"), (100, "standard"))
    }
    ends = {
        labels: f"[{rounded(low, sign='+')}, {rounded(high, sign='+')}]" for labels, (_, low, high) in fresh.items()
    }
    assert f"the ten fresh seeds alone give +{rounded(fresh[50][0])} ({ends[50]}; looked at" in told
    assert f"The ten fresh seeds alone give +{rounded(fresh[100][0])} ({ends[100]}, p = 0.074, uncorrected;" in told
    assert f"the ten fresh seeds alone give +{rounded(fresh[100][0])} ({ends[100]}; p = 0.074, uncorrected)" in FINDINGS
    wide = runs[runs["labels"] == 100].pivot(index="seed", columns="method", values="correct")
    lead = wide["lautum"] - wide["standard"]
    assert f"{recompute_tables.sign_flip(lead.loc[10:].to_numpy()):.3f}" == "0.074"
    assert f"{recompute_tables.sign_flip(lead.loc[:9].to_numpy()):.4f}" == "0.0078"
    design = config.load(ROOT / "config/notmnist-small.yaml")
    assert design.tasks["mnist-notmnist-small"].looks == (10,) and "Its seeds were looked at after ten" in FINDINGS
    mean, low, high = some_seeds("notmnist-small", "mnist-notmnist-small", 100, "lautum", "standard", slice(10))
    lead = f"+{rounded(mean)} points at 100 labels ([{rounded(low, sign='+')}, {rounded(high, sign='+')}]; p = 0.0078"
    assert f"The first ten gave a lead of {lead}, and 0.086 after Holm's correction over {len(table)}" in FINDINGS


def test_how_far_a_lead_is_excluded_is_what_the_records_say():
    gains = small().query("method == 'lautum' and baseline == 'standard'")
    first, second, third = (tenths(high).lstrip("+") for high in gains["high"])
    assert f"a lead of up to {first} points at 50 labels of notMNIST, {second} at 100 and {third} at 200" in FINDINGS
    assert gains["within_half_holm"].max() < 0.05 and "half of the paper's gain is excluded at all three" in FINDINGS
    table = pd.concat(pd.read_csv(ROOT / f"reports/{name}/accuracy.csv") for name in ("notmnist-small", "published"))
    standard = table.query("method == 'standard'").set_index(["task", "labels"])
    above = 100 * (standard["mean"] - standard["paper"])
    mnist, cifar = (
        f"{above[task].min():.0f} to {above[task].max():.0f}" for task in ("mnist-notmnist-small", "cifar10-cifar100")
    )
    assert (
        f"Standard transfer is {mnist} points more accurate here than in the paper, on CIFAR-100 {cifar}." in FINDINGS
    )
    assert f"Standard's by {mnist} points on notMNIST and {cifar} on CIFAR-100" in FINDINGS
    assert f"Standard is {cifar.split()[0]} to {mnist.split()[-1]} points above the paper's;" in README
    gain = gains["paper"].iloc[-1]
    assert standard.loc[("mnist-notmnist-small", 200), "mean"] + gain > 1
    assert f"its gain of {tenths(gain)} at MNIST's 200 labels would end above 100 %" in README


def test_winners_at_an_edge_of_their_search_are_named():
    def place(task: str, method: str, setting: str) -> int:
        """1: the winner's value is the largest of its method's trials."""
        trials = pd.read_csv(ROOT / f"reports/tuning-{task}/trials.csv").query("method == @method")
        values = trials["settings"].str.extract(rf"{setting} ([\d.e-]+)")[0].astype(float)
        return int((values > values[trials["selected"]].item()).sum()) + 1

    rate = "transfer.learning_rate"
    assert "TE's learning rate is the largest and Lautum's the second largest that was tried" in FINDINGS
    assert [place("mnist-notmnist-small", name, rate) for name in ("temporal_ensembling", "lautum")] == [1, 2]
    assert "On `mnist-notmnist10k` TE's learning rate and Lautum's number of steps are the largest" in FINDINGS
    assert place("mnist-notmnist10k", "temporal_ensembling", rate) == 1
    assert place("mnist-notmnist10k", "lautum", "transfer.steps") == 1


def test_the_differences_in_the_text_are_those_of_the_records():
    letters = differences("notmnist-small", "mnist-notmnist-small", "lautum", "standard")
    mnist = differences("published", "mnist-notmnist10k", "lautum", "standard")
    fifty = differences("fifty-labels", "mnist-notmnist10k", "lautum", "standard")
    cifar = differences("published", "cifar10-cifar100", "lautum", "standard")
    table = published().query("method == 'lautum' and baseline == 'standard'").set_index("task")
    paper = {task: table.loc[task, "paper"].map(tenths).tolist() for task in ("mnist-notmnist10k", "cifar10-cifar100")}
    first, second, third = (f"{mean} {ends}" for mean, ends in zip(*mnist, strict=True))
    assert f"no lead was found, {first}, {second} and {third} points" in FINDINGS
    assert shows(
        FINDINGS,
        *(*letters[0], "50", "100", "200", *paper["mnist-notmnist10k"]),
        *("100", "200", "500", *cifar[0], *paper["cifar10-cifar100"]),
    )
    first, second, third = zip(*mnist, strict=True)
    runs = pd.read_csv(ROOT / "reports/fifty-labels/records.csv")
    seeds = str(runs["seed"].nunique())
    assert shows(
        FINDINGS, first[0], "50", "95", first[1], seeds, *in_turn(*fifty), second[0], "100", second[1], third[0], "200"
    )
    assert shows(FINDINGS, *in_turn(*mnist)[:2], *in_turn(*fifty), *in_turn(*mnist)[2:])
    assert shows(FINDINGS, *in_turn(*cifar), "100", "200", "500")
    assert shows(FINDINGS, *in_turn(*differences("published", "cifar10-cifar100", "temporal_ensembling", "standard")))
    for method in ("lautum", "temporal_ensembling"):
        assert shows(FINDINGS, *differences("first-cifar10-cifar100", "cifar10-cifar100", method, "standard")[0])
    before = differences("first", "mnist-notmnist10k", "lautum", "standard")
    assert shows(FINDINGS, *(mean.lstrip("+") for mean in before[0]), *before[1])
    for placebo in ("lautum_shuffled", "lautum_source", "entropy"):
        assert shows(FINDINGS, "50", "100", "200", *differences("controls", "mnist-notmnist10k", "lautum", placebo)[0])
    scratch = differences("controls", "mnist-notmnist10k", "standard", "target_only")
    assert shows(FINDINGS, *in_turn(*scratch))


def test_the_campaigns_are_as_large_as_is_said():
    trials = [pd.read_csv(path) for path in committed.reports("tuning-*/trials.csv")]
    counts = pd.concat(trials).groupby(["task", "method"])["trial"].nunique()
    assert set(counts) == {16} and len(counts) > 8
    paragraphs = [line for line in FINDINGS.splitlines() if "paired seeds" in line]
    seeds = [
        set(pd.read_csv(ROOT / f"reports/{name}/differences.csv")["n"])
        for name in ("notmnist-small", "published", "controls")
    ]
    assert seeds == [{20}, {10}, {11}]
    for line, n in zip(paragraphs, (20, 10, 10, 11), strict=True):
        assert f"{n} paired seeds, 16 trials for each method" in line
    (comparisons,) = set(published().groupby("task").size())
    assert FINDINGS.count(f"of the {comparisons} comparisons") == 2
    mnist = published().query("task == 'mnist-notmnist10k' and p_holm < 0.05")
    assert len(mnist) == 6 and f"(p at most {mnist['p_holm'].max():.3f})" in FINDINGS


def test_the_leads_over_other_methods_are_those_of_the_records():
    # The records have "TE - Standard", but "Lautum - TE" and "Mk-MMD - TE": those are turned round.
    table = published().set_index(["task", "method", "baseline", "labels"])
    shares = ["mean", "low", "high", "bca_low", "bca_high", "paper"]
    names = {"low": "high", "high": "low"}
    turned = -table[shares].rename(columns=names)

    def leads(shown: pd.DataFrame, column: str, task: str, pair: tuple[str, str], *labels: int) -> list[str]:
        return [tenths(shown.loc[(task, *pair, count), column]).lstrip("+") for count in labels]

    def with_interval(shown: pd.DataFrame, task: str, pair: tuple[str, str], labels: int) -> str:
        row = shown.loc[(task, *pair, labels)]
        return f"{tenths(row['mean']).lstrip('+')} ([{tenths(row['low'])}, {tenths(row['high'])}])"

    lautum, mk_mmd = ("lautum", "temporal_ensembling"), ("mk_mmd", "temporal_ensembling")
    mnist, cifar = "mnist-notmnist10k", "cifar10-cifar100"
    assert shows(
        FINDINGS,
        *(
            "100",
            "200",
            *leads(turned, "mean", mnist, lautum, 100, 200),
            *leads(table, "paper", mnist, lautum, 100, 200),
        ),
        *leads(table, "mean", mnist, ("temporal_ensembling", "standard"), 100, 200),
        *leads(turned, "mean", mnist, mk_mmd, 100, 200),
    )
    te = " and ".join(with_interval(turned, cifar, lautum, labels) for labels in (200, 500))
    assert f"{te} at 200 and 500 labels" in FINDINGS
    assert f"{with_interval(turned, cifar, mk_mmd, 200)} at 200" in FINDINGS
    row = table.loc[(cifar, "lautum", "mk_mmd", 200)]
    ahead = with_interval(table, cifar, ("lautum", "mk_mmd"), 200)
    assert f"{ahead} at 200 (p = {row['p']:.3f}, {row['p_holm']:.2f} after Holm's correction" in FINDINGS
    row = table.loc[(cifar, "lautum", "standard", 100)]
    assert f"the bootstrap's ([{tenths(row['bca_low'])}, {tenths(row['bca_high'])}])" in FINDINGS


def test_what_is_practically_zero_is_what_the_records_say():
    half = "half of the paper's gain"
    gains = tuned().query("method == 'lautum' and baseline == 'standard'")
    assert gains["within"].tolist() == [half, half, "1 point", "not shown", "2 points", "2 points"]
    assert gains["low"].tolist()[1] > 0  # so that it is not called equivalent, however small
    assert "within 1 point at 200 labels of notMNIST and within 2 points at 200 and 500 of CIFAR-100" in FINDINGS
    margin = 50 * gains["paper"].iloc[0]
    assert f"within half of the paper's gain ({margin:.1f} points)" in FINDINGS and f"({margin:.1f} points)" in README
    controls = pd.read_csv(ROOT / "reports/controls/differences.csv")
    again = controls[(controls["method"] == "lautum") & (controls["baseline"] == "standard")]
    assert again["within"].tolist() == [half, "2 points", "2 points"]
    (fifty,) = pd.read_csv(ROOT / "reports/fifty-labels/differences.csv").itertuples()
    assert shows(FINDINGS, f"{fifty.within_2_holm:.4f}", f"{fifty.within_1_holm:.3f}")
    # By the t test, added later.
    table = published()
    gains = table[(table["method"] == "lautum") & (table["baseline"] == "standard")]
    found = table[table["p_t_holm"] < 0.05]
    ahead = found["method"].where(found["mean"] > 0, found["baseline"])
    assert len(found) == 11 and set(ahead) == {"temporal_ensembling"}
    mnist, cifar = (found[found["task"] == task] for task in ("mnist-notmnist10k", "cifar10-cifar100"))
    assert "By the t test five are: TE − Standard" in FINDINGS
    assert len(mnist) == 6 and f"By the t test their p is at most {mnist['p_t_holm'].max():.4f}." in FINDINGS
    p = cifar.set_index(["method", "baseline", "labels"])["p_t_holm"]
    te = [p["temporal_ensembling", "standard", labels] for labels in (100, 200)]
    lautum = [p["lautum", "temporal_ensembling", labels] for labels in (200, 500)]
    assert len(cifar) == 5 and shows(
        FINDINGS,
        *(f"{value:.3f}" for value in te),
        f"{lautum[0]:.4f}",
        f"{lautum[1]:.3f}",
        f"{p['mk_mmd', 'temporal_ensembling', 200]:.3f}",
    )
    evidence = table[table["e"] >= 20]
    ahead = evidence["method"].where(evidence["mean"] > 0, evidence["baseline"])
    assert (
        len(evidence) == 9
        and set(ahead) == {"temporal_ensembling"}
        and "nine of their 30 comparisons reach 20" in FINDINGS
    )
    assert f"that of Lautum − Standard is at most {gains['e'].max():.1f}" in FINDINGS


def test_the_power_in_the_text_is_that_of_the_measured_spread():
    power = pd.concat(pd.read_csv(ROOT / f"reports/{name}/power.csv") for name in ("notmnist-small", "published"))
    at_zero = power[power["difference"] == 0].set_index(["task", "labels"])
    found = 100 * at_zero[["found_t", "found_sign_flip"]]
    tasks = ("mnist-notmnist-small", "mnist-notmnist10k", "cifar10-cifar100")
    t, sign_flip = (
        [rounded(value) for task in tasks for value in found.loc[task, name]] for name in ("found_t", "found_sign_flip")
    )
    assert shows(FINDINGS, "80 %", *t[:3], "50", "100", "200", *t[3:], "100", "200", "500", *sign_flip)
    most = max(at_zero.loc[(task, 50), "within_2"] for task in tasks[:2])
    assert f"within 2 points could hardly have been shown ({100 * most:.0f} % and less)" in FINDINGS


def test_accuracies_of_controls_are_those_of_the_records():
    runs = pd.read_csv(ROOT / "reports/controls/records.csv")
    means = (100 * runs.groupby(["method", "labels"])["accuracy"].mean()).map(rounded)
    assert shows(FINDINGS, *means["target_only"], *means["standard"])
    assert shows(FINDINGS, min(means["all_target_labels"]), max(means["all_target_labels"]))


def test_what_is_said_of_the_controls_is_what_their_records_say():
    table = pd.read_csv(ROOT / "reports/controls/differences.csv")
    assert set(table["n"]) == {11} and shows(FINDINGS, f"{len(table)} comparisons of 11 seeds")
    significant = table[table["p_holm"] < 0.05]
    assert set(significant["method"]) == {"all_target_labels"}
    assert shows(FINDINGS, f"p = {significant['p_holm'].max():.3f}")

    resolved = table[(table["low"] > 0) | (table["high"] < 0)]
    texts = resolved[["mean", "low", "high"]].map(tenths).agg("{0[mean]} [{0[low]}, {0[high]}]".format, axis=1)
    placebos = texts[(resolved["method"] == "lautum") & (resolved["baseline"] != "standard")]
    assert len(placebos) == 2 and shows(FINDINGS, *placebos)  # of the three placebos' nine intervals
    (behind,) = resolved.index[resolved["baseline"] == "standard"]
    assert (resolved["method"][behind], resolved["labels"][behind]) == ("lautum_shuffled", 100)
    assert shows(FINDINGS, texts[behind])
    means, intervals = differences("controls", "mnist-notmnist10k", "lautum_features", "standard")
    assert shows(FINDINGS, means[1].lstrip("−"), intervals[1])


def some_seeds(campaign: str, task: str, labels: int, method: str, baseline: str, seeds: slice) -> tuple[float, ...]:
    """Mean and interval of a paired difference over some of the seeds alone, in points."""
    runs = pd.read_csv(ROOT / f"reports/{campaign}/records.csv").query("task == @task and labels == @labels")
    table = 100 * runs.pivot_table(index="seed", columns="method", values="accuracy")
    gain = (table[method] - table[baseline]).sort_index().iloc[seeds]
    return gain.mean(), *stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))


def test_what_was_seen_of_the_first_seeds_is_what_their_records_say():
    mean, low, high = some_seeds("controls", "mnist-notmnist10k", 100, "lautum_features", "standard", slice(5))
    assert shows(FINDINGS, "100", rounded(-mean), f"[{rounded(low)}, {rounded(high)}]")
    winners = []
    for labels in (50, 100, 200):
        mean, low, high = some_seeds("published", "mnist-notmnist10k", labels, "lautum", "standard", slice(5))
        winners.append(f"{tenths(mean / 100)} [{tenths(low / 100)}, {tenths(high / 100)}]")
    assert f"no lead was found on the same seeds: {winners[0]}, {winners[1]} and {winners[2]}." in FINDINGS
    cifar = ("published", "cifar10-cifar100")
    for pair, labels in ((("lautum", "standard"), 100), (("lautum", "mk_mmd"), 200)):
        _, low, high = some_seeds(*cifar, labels, *pair, slice(7))
        assert low < 0 < high
    lows = [some_seeds(*cifar, labels, "temporal_ensembling", "standard", slice(7))[1] for labels in (100, 200, 500)]
    assert min(lows) == lows[2] > 0 and f"at 500 labels by {lows[2]:.3f} points" in FINDINGS


def test_the_selected_weights_are_those_of_the_searches():
    for method, shown in (("lautum", "0.00024 of 1e-5 to 1"), ("mk_mmd", "0.0020 of 0.001 to 10")):
        winners = yaml.safe_load((ROOT / f"reports/tuning-cifar10-cifar100-{method}/winners.yaml").read_text())
        weight = winners["tasks"]["cifar10-cifar100"]["methods"][method]["pretrain"]["weight"]
        selected, low, high = re.fullmatch(r"(\S+) of (\S+) to (\S+)", shown).groups()
        assert float(selected) == float(f"{weight['value']:.2g}") and shows(FINDINGS, shown)
        assert [float(bound) for bound in re.search(r"\[(.+), (.+)\]", weight["source"]).groups()] == [
            float(low),
            float(high),
        ]
    trials = pd.read_csv(ROOT / "reports/tuning-cifar10-cifar100-mk_mmd/trials.csv")
    weights = trials["settings"].str.extract(r"weight ([\d.e-]+)")[0].astype(float)
    chance, others = (trials.loc[large, "first_rung_accuracy"] for large in (weights > 1, weights <= 1))
    assert (len(chance), len(others), set(chance)) == (4, 12, {0.1})
    assert shows(FINDINGS, rounded(100 * others.mean()))


def test_the_universes_are_as_many_as_are_declared():
    counts = []
    for name in ("mnist", "cifar"):
        declared = yaml.safe_load((ROOT / f"config/universes-{name}.yaml").read_text(encoding="utf-8"))
        counts.append(declared["universes"]["count"])
    (row,) = (line for line in README.splitlines() if line.startswith("| settings run"))
    assert [int(count) for count in re.findall(r" of (\d+) \|", row)] == counts
    assert f"{counts[0]} settings" in PROTOCOL and f"with {counts[1]}." in PROTOCOL


def test_the_tasks_are_those_of_the_configuration():
    tasks = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["tasks"]
    rows = re.findall(r"^\| `(.+?)` \| .* \| `(.+?)`.* \| ([\d, ]+) \|$", PAGES["docs/data.md"], flags=re.MULTILINE)
    counts = {name: (task["network"], ", ".join(map(str, task["label_counts"]))) for name, task in tasks.items()}
    assert {name: (network, labels) for name, network, labels in rows} == counts


def test_what_tuning_is_worth_is_what_the_trials_say():
    order = ["lautum", "standard", "temporal_ensembling", "mk_mmd"]
    for task in ("mnist-notmnist-small", "mnist-notmnist10k"):
        mnist = pd.read_csv(ROOT / f"reports/tuning-{task}/trials.csv").groupby("method")["first_rung_accuracy"]
        assert shows(
            FINDINGS, *(rounded(100 * mnist.mean()[m]) for m in order), *(rounded(100 * mnist.max()[m]) for m in order)
        )
    cifar = pd.concat(pd.read_csv(path) for path in committed.reports("tuning-cifar10-cifar100*/trials.csv"))
    cifar = cifar.groupby("method")["first_rung_accuracy"]
    assert shows(
        FINDINGS, *(rounded(100 * cifar.mean()[m]) for m in order), *(rounded(100 * cifar.max()[m]) for m in order)
    )


def test_source_accuracies_are_those_of_the_records():
    table = pd.read_csv(ROOT / "reports/published/pretraining.csv").set_index(["task", "methods"])
    shares = (100 * table["source_accuracy"]).map(lambda share: rounded(share, "1"))
    order = ["lautum", "mk_mmd", "standard+temporal_ensembling"]
    mnist, cifar = ([shares[task, methods] for methods in order] for task in ("mnist-notmnist10k", "cifar10-cifar100"))
    assert mnist[1] == mnist[2] and shows(FINDINGS, *mnist[:2])
    assert shows(FINDINGS, *cifar)


def test_the_simulated_error_rates_are_those_of_the_records():
    table = pd.read_csv(ROOT / "reports/coverage.csv")
    rows = {
        "Student t": ("coverage, t", "nominal"),
        "BCa, level expanded for n": ("coverage, BCa, expanded", "nominal"),
        "BCa as published": ("coverage, BCa, as published", "nominal"),
        "prediction of one run": ("coverage, prediction of one run", "nominal"),
        "seeds and images": ("coverage, seeds and images", "nominal"),
        "seeds and images, right/wrong predictions": ("coverage, seeds and images", "binary"),
        "verdict: true size differs": ("verdict, true size differs", "nominal"),
        "verdict: order found between equal methods": ("verdict, order of equal methods resolved", "nominal"),
    }
    for title, (what, model) in rows.items():
        rates = table[(table["what"] == what) & (table["model"] == model)].set_index("n")["rate"]
        assert f"| {title} | {' | '.join(rounded(100 * rates[n]) for n in (3, 5, 10))} |" in PROTOCOL
    assert set(table["trials"]) == {2000, 500} and "2,000 simulated experiments" in PROTOCOL


def test_the_simulated_error_rates_of_families_are_those_of_the_records():
    table = pd.read_csv(ROOT / "reports/coverage.csv")
    rows = {
        "1 point called practically zero within it": "1 point called practically zero within it",
        "any of 15 at 1 point, likewise after Holm": "any of 15 at 1 point called practically zero within it",
        "any of 15 at 2 points, likewise within 2": "any of 15 at 2 points called practically zero within it",
        "any of 5 at 0, 1 and 2 points each, within too little": (
            "any of 5 at 0, 1 and 2 points called so within too little"
        ),
        "any of 15 equal found by t after Holm": "any of 15 equal found by t",
        "e of 20 at any look after the first seed": "e of 20 at any look, equal methods",
        "p of t below 0.05 at any look": "p of t below 0.05 at any look, equal methods",
        "power: equal shown to be within 1 point": "power: equal called practically zero within 1 point",
        "power: equal shown to be within 2 points": "power: equal called practically zero within 2 points",
        "power: 2 points found by t": "power: 2 points found by t",
    }
    for title, what in rows.items():
        rates = table[table["what"] == f"verdict, {what}"].set_index(["model", "n"])["rate"]
        cells = [
            f"{rounded(100 * rates['nominal', n])} ({rounded(100 * rates['heavy tails', n])})" for n in (5, 10, 20)
        ]
        assert f"| {title} | {' | '.join(cells)} |" in PROTOCOL
    once = table.set_index("what")["rate"]
    missed = rounded(100 * once["verdict, t interval without the truth, seeds added until it is narrow"])
    called = rounded(100 * once["verdict, 1 point called practically zero within it, likewise"])
    assert f"misses the truth in {missed} % of experiments" in PROTOCOL and f"in {missed} % of cases" in FINDINGS
    assert f"called practically zero within 1 point in {called} %" in PROTOCOL
    mixed = table[(table["what"] == "verdict, any of 5 at 0, 1 and 2 points called so within too little")]
    assert f"can exceed 5 %: {rounded(100 * mixed['rate'].max())} % in the simulation below" in PROTOCOL
    universes = table[table["model"] == "universes"].set_index("what")["rate"].map(lambda rate: rounded(100 * rate))
    assert shows(
        PROTOCOL,
        "500 experiments",
        *(
            universes[f"universes, {name}"]
            for name in (
                "joint test rejects equal arms",
                "average gain outside its interval",
                "2 points called within 2 points",
                "power: joint test, +-2 points",
                "power: 0 called within 2 points",
            )
        ),
    )


def test_the_figures_of_the_estimator_are_those_of_the_records():
    values = pd.read_csv(ROOT / "reports/estimator/values.csv").set_index(["varied", "value", "kind", "world"])
    default = values.loc["decay", 0.99]
    nothing, medium, strong = (default.loc["still", world] for world in ("independent", "medium", "strong"))
    assert shows(
        THEORY, "0.99", f"{nothing['mean']:.4f}", f"{nothing['sd']:.4f}", f"{50 * 10 / 2 / nothing['n_effective']:.4f}"
    )
    assert shows(
        THEORY,
        *(f"{world['truth']:.2f}" for world in (medium, strong)),
        *(f"{world[column]:.2f}" for world in (medium, strong) for column in ("mean", "sd")),
        *("r = 10", f"{values.loc[('rank', 10, 'still', 'strong'), 'mean']:.2f}", f"{strong['truth']:.2f}"),
        *("ridge of 0.1", f"{values.loc[('ridge', 0.1, 'still', 'strong'), 'mean']:.2f}"),
    )
    moving = [
        values.loc[("decay", decay, "moving", world), "mean"]
        for decay in (0.99, 0.95)
        for world in ("medium", "strong")
    ]
    biased = values.loc[("decay", 0.95, "still", "independent"), "mean"]
    shown = [f"{value:.2f}" for value in (*moving, biased)]
    truths = (f"of {world['truth']:.2f}" for world in (medium, strong))
    assert shows(THEORY, shown[0], next(truths), shown[1], next(truths), "0.95", *shown[2:])
    gradients = pd.read_csv(ROOT / "reports/estimator/gradients.csv").set_index(["gradient", "decay"])
    batch = gradients.loc["through the batch"]
    assert shows(
        THEORY,
        *(f"{value:.2f}" for value in (batch["share"][0.99], batch["share"][0.9], batch["cosine"][0.99])),
        *(f"{value:.2f}" for value in (batch["share"][0], batch["cosine"][0])),
        f"{gradients.loc[('through the average', 0.99), 'share']:.4f}",
    )


def test_the_settings_of_a_stage_are_those_that_are_declared():
    both = set(StageSettings.model_fields)
    fields = [("both", name, field) for name, field in StageSettings.model_fields.items()]
    for stage, settings in (("pretrain", source_only.Settings), ("transfer", supervised.Settings)):
        fields += [(stage, name, field) for name, field in settings.model_fields.items() if name not in both]
    for stage, name, field in fields:
        others = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        value = " or ".join(f"`{choice}`" for choice in others) or f"`{json.dumps(field.default)}`"
        assert f"| `{name}` | {stage} | {value} | {field.description} |" in PROTOCOL


def test_every_column_of_the_differences_is_described():
    told = PAGES["docs/results.md"].partition("## differences.csv")[2]
    columns = pd.read_csv(ROOT / "reports/published/differences.csv").columns
    named = set(re.findall(r"`(\w+)`", told))
    assert [name for name in columns if name not in named and not name.endswith("_holm")] == []
    maps = {path.name for path in (ROOT / "reports/universes-mnist").glob("*.csv")} - {"universes.csv"}
    assert [name for name in sorted(maps) if name not in told] == []


def test_the_images_of_the_full_grid_are_counted_right():
    # Per seed: a shared pre-training and one for each label count of Mk-MMD and Lautum, three supervised stages at each
    # label count, and TE's passes over all target training images.
    cluster = PAGES["docs/cluster.md"]
    pretraining = 1000 * 128 * (1 + 2 * 6)
    images = {}
    for task, target, shown in (("mnist-notmnist", 60_000, "12.9"), ("cifar10-cifar100", 5_000, "3.0")):
        images[task] = pretraining + 9 * 400 * 128 + 3 * 60 * target
        row = next(line for line in cluster.splitlines() if line.startswith(f"| `{task}`"))
        assert rounded(images[task] / 1e6) == shown and f"3 x 60 x {target:,} | {shown} million |" in row
    total = 10 * sum(images.values())
    assert f"about {total / 1e6:.0f} million images: {total / 1000 / 3600:.0f} GPU hours" in cluster
    assert f"{rounded(total / 10_000 / 3600)} at 10,000" in cluster


def test_numbers_of_programs_are_those_that_they_say():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')}+," in README
    (count,) = re.findall(r'"--count", type=int, default=(\d+)', (ROOT / "tests/fuzz.py").read_text(encoding="utf-8"))
    assert all(f"reads {int(count):,} damaged and falsified files" in page for page in (README, DESIGN))
    noticed = pd.read_csv(ROOT / "reports/mutants.csv")["outcome"].eq("killed")
    assert f"puts {len(noticed)} small faults" in DESIGN and f"they noticed {noticed.sum()}:" in DESIGN
    assert f"of each of the other {(~noticed).sum()} why" in DESIGN
    found = pd.read_csv(ROOT / "reports/faults.csv")
    assert (found["injected"] == found["survived"] + found["lost"]).all() and found["kind"].nunique() == 15
    assert f"{found['injected'].sum():,} faults" in DESIGN and f"{found['lost'].sum()} of them" in DESIGN
    for name in ("tuning-mnist-notmnist10k", "tuning-cifar10-cifar100"):
        held_out = set(pd.read_csv(ROOT / f"reports/{name}/trials.csv")["n_images"])
        assert held_out == {1000} and "scored on 1,000" in FINDINGS and "scored on 1,000" in PROTOCOL


def test_the_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
