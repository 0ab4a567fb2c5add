import json
import re
from pathlib import Path

import committed
import numpy as np
import pandas as pd
import pytest
import synthetic
from pages import Page

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.report import (
    answers,
    campaign_page,
    figures,
    index_page,
    origin,
    page,
    power_figures,
    style,
    table_text,
    tables,
    training_figures,
)
from lautum.report import campaign as campaigns
from lautum.report.page import Section

ROOT = Path(__file__).parent.parent


def campaign(**changes) -> origin.Campaign:
    results, expected = changes.pop("results", synthetic.results()), changes.pop("expected", synthetic.EXPECTED)
    tasks, comparisons = changes.get("tasks", synthetic.TASKS), changes.pop("comparisons", synthetic.COMPARISONS)
    runs = tables.grid(results.runs, expected)
    built = tables.build_tables(results, expected, tasks, comparisons)
    pair = comparisons[0] if comparisons else None
    drawn = figures.build_figures(built)
    if changes.pop("power", False):
        drawn |= power_figures.build_figures(built["differences"].numbers, table_text.transfers(built["accuracy"]))
    else:  # drawing it takes the longest
        built["power"] = table_text.Table(*(part.iloc[:0] for part in built["power"][:2]), "")
    drawn |= training_figures.build_figures(runs, results, table_text.transfers(built["accuracy"]), pair)
    made = origin.Campaign(
        name="synthetic",
        about="",
        command="snakemake --config 'a<b & c'",
        runs=runs,
        built=built,
        drawn=drawn,
        tasks=tasks,
        methods={name: f"what <b>{name}</b> is" for name in synthetic.METHODS},
        hyperparameters=synthetic.HYPERPARAMETERS,
    )
    return made._replace(**changes)


def write(folder, **changes) -> Page:
    path = campaign_page.write(folder, campaign(**changes))
    assert path == folder / "index.html"
    read = Page(path.read_text(encoding="utf-8"))
    read.require_accessible()
    return read


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), power=True)


def flat(read: Page) -> str:
    return " ".join(read.text.split())


def test_what_a_campaign_says_of_itself_stands_before_the_answer(tmp_path):
    read = write(tmp_path, about="Of one setting <only>.")
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card["line"].startswith("Of one setting <only>. ")
    text = flat(read)
    assert text.index("Of one setting <only>.") < text.index("With few labelled")


def test_the_top_of_the_page_answers(shown):
    """Title, question, a sentence for each task, the decisive figure and the paper's orders, before anything else."""
    assert shown.headings[0][1] == (
        "Lautum against Standard, TE, Mk-MMD and mutual information minimisation: MNIST → notMNIST (10,000) and "
        "digits → letters"
    )
    top = flat(shown).split(" Contents ")[0]
    assert (
        "does Lautum reach a higher test accuracy than Standard, TE, Mk-MMD or mutual information minimisation" in top
    )
    assert "MNIST → notMNIST (10,000): Lautum is better than Standard at" in top and "points on average" in top
    assert "digits → letters: Lautum is" in top
    assert re.search(r"Of the 3 of the paper’s orders that are compared: \d", top)
    assert "In the paper MNIST → notMNIST (10,000) digits → letters Lautum > Standard" in top
    before = shown.html[: shown.html.index(">Contents<")]
    assert before.count("<svg") == 1


def test_contents_lead_to_every_section(shown):
    contents = re.search(r'class="contents".*?</nav>', shown.html, flags=re.DOTALL)[0]
    listed = re.findall(r'href="#([\w-]+)"', contents)
    assert listed[:3] == ["mnist-notmnist10k", "digits-letters", "methods"]
    assert re.findall(r'<(?:section|details class="section") id="([\w-]+)"', shown.html) == listed
    folded = re.findall(r'<details class="section" id="([\w-]+)"', shown.html)
    assert folded == ["trials", "hyper-parameters", "cost", "data", "environment"]


def test_what_is_missing_is_said(shown):
    assert 0 < shown.text.index("12 of 150 runs are missing") < shown.text.index("With few labelled")  # before a number
    assert "72 of 75" in shown.text and "66 of 75" in shown.text
    assert "missing (5 of 5 seeds)" in shown.text and "no interval (n = 1)" in shown.text
    assert "Table 1" in shown.text and "no figures for this task" in shown.text


def test_text_from_outside_is_escaped(shown):
    assert "what <b>lautum</b> is" in shown.text and shown.all("b") == []
    assert "snakemake --config 'a<b & c'" in shown.text
    assert "chosen: <0.01 & synthetic" in shown.text


def test_the_page_needs_no_other_file(shown):
    assert shown.all("script") == shown.all("link") == shown.all("img") == []
    assert not re.search(r"(?:src|url)\s*[=(]\s*[\"']?https?:", shown.html)
    assert all(link["href"].startswith("#") for link in shown.all("a"))
    assert "xlink:href" not in re.sub(r'xlink:href="(?:#|data:image/png)', "", shown.html)


def test_no_table_in_sight_is_wider_than_a_phone(shown):
    """A row is at most four short cells; what needs more columns is shown on demand."""
    in_sight = [table for table in shown.tables if not table["folded"]]
    assert len(in_sight) >= 6
    for table in in_sight:
        assert max(map(len, table["rows"])) <= 4
        assert all(len(word) <= 24 for row in table["rows"] for cell in row if len(row) > 1 for word in cell.split())
    assert max(len(row) for table in shown.tables for row in table["rows"]) >= 11


def test_a_campaign_without_figures_of_the_paper_has_no_columns_for_them(tmp_path, shown):
    heads = [table["rows"][0] for table in shown.tables]
    assert any("Order " in head for head in heads)
    assert any("Difference (points) " in head and "Order " not in head for head in heads)  # of the other task
    alone = [run for run in synthetic.EXPECTED if run[0] == "digits-letters"]
    text = flat(write(tmp_path, expected=alone))
    assert "as the paper reports" not in text and "In the paper" not in text and "Star" not in text


def test_accuracies_are_shown_beside_the_papers_without_a_verdict(shown):
    (table,) = [table for table in shown.tables if table["rows"][0] == ["Method ", "50 ", "100 ", "200 "]][:1]
    lautum = next(row for row in table["rows"] if row[0] == "Lautum ")
    assert lautum[1].endswith("paper 47.96 ")
    wide = next(table for table in shown.tables if "One run " in table["rows"][0])
    assert wide["rows"][0][-1] == "Paper (%) "


def test_orders_and_sizes_have_words_of_their_own(shown):
    rows = [row for table in shown.tables for row in table["rows"] if len(row) == 3]
    orders = {word for row in rows for word in re.findall(r"order: \S+ (\w+) ", row[2])}
    sizes = {word for row in rows for word in re.findall(r"size: \S+ (\w+(?: uncertain)?)", row[2])}
    assert orders <= {"reproduced", "unresolved", "contradicted"} and orders
    assert sizes <= {"agrees", "too uncertain", "differs"} and sizes


def test_figures_are_part_of_the_page_and_say_what_their_marks_are(shown):
    assert len(shown.all("svg")) == 14  # the answer; for each task 6; for one the examples
    titles = re.findall(r"<title>(.*?)</title>", shown.html)
    assert any(re.fullmatch(r"Lautum, 100 labels: [\d.]+ % \[[\d., ]+\], n = 5", title) for title in titles)
    assert any(title.startswith("Lautum in the paper, 50 labels: 47.96 %") for title in titles)
    assert any(re.fullmatch(r"Lautum − TE, 100 labels: .+ points \[.+\], n = 5", title) for title in titles)


def test_data_environment_and_hyperparameters(shown):
    for text in ("digits-letters-eval", "mnist-notmnist10k-source", "Synthetic CPU", "lambda of Eq. 2", "0.003"):
        assert text in shown.text
    assert re.search(r"Runs cpu Synthetic CPU 1 3.0 0.0 abc 138 ", flat(shown))
    assert "No search for hyper-parameters belongs to this experiment." in shown.text


def test_of_what_was_tried_for_other_tasks_nothing_is_shown(tmp_path, monkeypatch):
    """A configuration that docs/data.md names: one task of a campaign of two."""
    monkeypatch.chdir(ROOT)
    text = f"extends: {ROOT}/config/published.yaml\nname: one\ngrid: {{tasks: [cifar10-cifar100]}}\n"
    (tmp_path / "one.yaml").write_text(text)
    layout = Layout(config.load(tmp_path / "one.yaml"))
    shown = campaigns.trials(layout)
    tasks = {path: set(pd.read_csv(path)["task"]) for path in layout.config.trials}
    assert {task for some in tasks.values() for task in some} == {"mnist-notmnist10k", "cifar10-cifar100"}
    wanted = {path for path, some in tasks.items() if "cifar10-cifar100" in some}
    assert {str(Path(layout.report, folder, "trials.csv").resolve().relative_to(ROOT)) for folder in shown} == wanted
    assert {task for table in shown.values() for task in table["task"]} == {"cifar10-cifar100"}


def test_trials_are_shown_with_the_campaign_that_they_chose_for(tmp_path):
    trials = pd.DataFrame(
        {
            "task": "digits-letters",
            "method": "lautum",
            "trial": ["a", "b"],
            "settings": ["pretrain.weight 0.003", "pretrain.weight 0.1"],
            "accuracy": [0.712345, 0.6],
            "sd": [0.01, 0.02],
            "first_rung_accuracy": [0.7, 0.6],
            "rung": [2, 1],
            "selected": [True, False],
        }
    )
    other = trials.assign(method="standard")
    read = write(tmp_path, trials={"../first": trials, "../o": other}, trials_missing=["second"])
    assert "first : 2 trials" in flat(read) and {"href": "../first/index.html"} in read.all("a")
    assert "second is missing: this search has not been run to its end." in read.text
    assert len(read.all("svg")) == 13  # both searches in one picture


def test_every_campaign_is_listed(tmp_path):
    alone = [run for run in synthetic.EXPECTED if run[0] == "digits-letters"]
    campaigns = [{"Campaign": "first", "Runs": 60}, {"Campaign": "second", "Runs": 24}]
    read = write(tmp_path, expected=alone, campaigns=campaigns)
    assert "Campaign Runs first 60 second 24" in flat(read)


def test_nothing_done_and_nothing_compared(tmp_path):
    read = write(tmp_path, results=synthetic.results(synthetic.records().iloc[:0]), comparisons=[])
    assert "150 of 150 runs are missing" in read.text
    assert "Which test accuracy does each method reach?" in read.text
    assert "No comparisons are declared for the methods of this task." in read.text
    assert read.text.count("Nothing to show yet.") == 3  # costs, data, environment
    assert len(read.all("svg")) == 2  # the plots of accuracy, which say so


def test_findings_say_no_more_than_interval_and_test():
    rows = pd.DataFrame(
        {
            "labels": [50, 100, 200, 500, 900],
            "method": "lautum",
            "baseline": "entropy",
            "mean": [0.0123, -0.015, 0.01, 0.02, 0.015],
            "low": [0.002, -0.02, -0.01, 0.01, 0.0],
            "high": [0.0226, -0.01, 0.03, 0.03, 0.03],
            "n": 10,
            "p_holm": [0.0117, 0.0117, 0.3, 0.05, 0.04],
            "paper": [0.1, 0.1, 0.1, 0.1, 0.3],
            "within": ["half of the paper's gain", "not shown", "2 points", "not shown", "not shown"],
        }
    )
    assert answers.finding(rows) == (
        "Lautum against entropy minimisation: better, by under half of the paper’s gain, at 50 labels (+1.23 [+0.20, "
        "+2.26]); worse at 100 labels (−1.50 [−2.00, −1.00]); practically equivalent within 2 points at 200 labels "
        "(+1.00 [−1.00, +3.00]); better, but not significantly after Holm's correction, at 500 labels (+2.00 [+1.00, "
        "+3.00]); undecided at 900 labels (+1.50 [+0.00, +3.00])."
    )
    named = answers.finding(rows.assign(method="target_only"))
    assert named.startswith("No pre-training against entropy minimisation: better")
    runs = pd.DataFrame({"method": ["target_only", "entropy"]})
    titles = [answers.title(some, runs, {"a": "A → B"}) for some in (rows.assign(method="target_only"), rows.head(0))]
    assert titles[0] == "No pre-training against entropy minimisation: A → B"
    assert titles[1] == "No pre-training and entropy minimisation: A → B"
    verdicts = ["contradicted", "contradicted", "consistent but unresolved", "consistent but unresolved"]
    claims = pd.DataFrame({"verdict": verdicts, "unresolved": [1, 0, 3, 3], "contradicted": [2, 3, 0, 0]})
    claims = claims.assign(reproduced=0, unknown=0, within_1=0, within_2=[1, 0, 2, 1], within_half=[0, 0, 1, 1])
    assert answers.sentence(rows, claims, "A → B") == (
        "A → B: Lautum is better than entropy minimisation at 50 labels and at 500 labels (not significant after "
        "Holm’s correction), worse than it at 100 labels, practically equivalent to it at 200 labels (within 2 points) "
        "and neither told apart from it nor shown to be equivalent at 900 labels, +0.8 points on average (in the paper "
        "+14.0). Of the 4 of the paper’s orders that are compared: 2 unresolved (1 of them practically equivalent at "
        "every number of labels), 2 contradicted."
    )
    unknown = claims.assign(verdict="unknown")
    assert answers.sentence(rows, unknown, "A → B").endswith("orders that are compared: 4 not known yet.")
    assert answers.question(rows) == (
        "With few labelled target images, does Lautum reach a higher test accuracy than entropy minimisation, as the "
        "paper reports?"
    )
    assert answers.sentence(rows.assign(low=np.nan), claims, "A → B") == (
        "A → B: Lautum and entropy minimisation have no two seeds that differ yet."
    )
    # What is asked first stays what is answered, whatever else is known.
    others = pd.concat([rows.assign(low=np.nan).head(1), rows.iloc[[1]], rows.assign(baseline="standard")])
    assert answers.sentence(others, claims.head(1), "A → B") == (
        "A → B: Lautum is worse than entropy minimisation at 100 labels, −1.5 points on average (in the paper +10.0); "
        "at 50 labels no two seeds differ yet."
    )


def test_stars_are_explained_where_there_are_some(tmp_path, shown):
    """At other label counts than the paper's there are none, also of a task that is one of its."""
    assert shown.text.count("no interval (n = 1). Stars: the paper’s figures.") == 1
    runs = synthetic.records().query("task == 'mnist-notmnist10k'").replace({"labels": {50: 30, 100: 60, 200: 90}})
    expected = [(run.task, run.method, run.labels, run.seed) for run in runs.itertuples()]
    read = write(tmp_path, results=synthetic.results(runs), expected=expected)
    assert "Table 1" in read.text and "Stars" not in read.text


def test_no_verdict_where_nothing_varies(tmp_path, shown):
    """Each method has the same accuracy with every seed, by chance."""
    runs = synthetic.records()
    correct = 500 + 30 * runs["method"].map(list(runs["method"].unique()).index)
    results = synthetic.results(runs.assign(correct=correct, accuracy=correct / 1000))
    read = write(tmp_path, results=results, power=True)
    text = flat(read)
    assert "have no two seeds that differ yet" in text and "No comparison has two seeds that differ" in text
    assert "no interval (all equal)" in text and not verdicts(read)
    assert text.count("no bar: no interval (n = 1 or all equal)") == 2 and "all equal)" not in flat(shown)


def verdicts(read: Page) -> set[str]:
    return {look[0] for look in answers.LOOKS.values() if page.parts().verdict(*look) in read.html}


def test_verdicts_are_shown(shown):
    assert {"better", "worse", "undecided", "agrees"} <= verdicts(shown)


def test_no_p_is_zero_and_no_difference_is_practically_zero_and_not():
    rows = campaign().built["differences"].numbers.dropna(subset="low").iloc[:2]
    rows = rows.assign(p_t=1e-300, p_t_holm=[4.9e-5, 5.1e-5], low=[0.001, -0.001], high=0.01, within="2 points")
    cells = table_text.difference_cells(rows)
    assert cells["t p (Holm)"].tolist() == ["<0.0001 (<0.0001)", "<0.0001 (0.0001)"]
    assert cells["Practically zero"].tolist() == ["under 2 points", "within 2 points"]
    table = table_text.Table(rows, cells, "")
    assert "| &lt;0.0001 (0.0001) |" in table_text.markdown(table) and "$<$0.0001 (0.0001)" in table_text.latex(table)


def test_same_records_same_page(tmp_path, shown):
    assert write(tmp_path, power=True).html == shown.html


def test_pages_are_listed_by_what_they_leave_beside_them(tmp_path):
    for name in ("one", "two"):
        page.write(
            tmp_path / name / "index.html",
            title=f"Title <{name}>",
            question="Which?",
            line=f"The answer of {name}.",
            card=page.parts().paragraphs(["Because."]),
            sections=[
                Section("a", "A", page.parts().paragraphs(["a"])),
                Section("b", "B", page.table(["x"], []), True),
            ],
            thumbnail="answer.png",
        )
    path = index_page.write(tmp_path, ["two", "one", "not-run"])
    read = Page(path.read_text(encoding="utf-8"))
    read.require_accessible()
    assert [link["href"] for link in read.all("a")] == ["two/index.html", "one/index.html"]
    assert [picture["src"] for picture in read.all("img")] == ["two/answer.png", "one/answer.png"]
    assert "Title <two>." in flat(read) and "The answer of one." in flat(read)


def test_a_name_that_the_page_has_for_something_else_gets_an_anchor_of_its_own(tmp_path):
    html = page.parts().paragraphs(["a"])
    sections = [Section(name, name, html) for name in ("answer", "data", "data-2", "methods", "data", "methods")]
    path = page.write(tmp_path / "p/index.html", title="t", question="q", line="l", card=html, sections=sections)
    read = Page(path.read_text(encoding="utf-8"))
    read.require_accessible()
    anchors = [section["id"] for section in read.all("section") if "id" in section]
    assert anchors == ["answer-2", "data", "data-2", "methods", "data-3", "methods-2"]
    assert [link["href"] for link in read.all("a")] == [f"#{anchor}" for anchor in anchors]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio, which puts black on white at 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_text_and_marks():
    css = (page.HERE / "page.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root {(.*?)}", css, re.DOTALL)]
    assert len(schemes) == 3  # light, dark, print
    for colours in schemes[:2]:
        for ground in ("paper", "shade"):
            for text in ("ink", "quiet", "link", "good", "bad", "open"):
                assert contrast(colours[text], colours[ground]) >= 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for look in style.METHOD_STYLES.values():
        assert contrast(look.colour, "#ffffff") >= 3


@pytest.mark.parametrize("path", committed.reports("**/index.html"), ids=lambda path: path.parent.name)
def test_committed_pages_are_accessible_and_their_links_lead_somewhere(path):
    assert "not run</td>" not in path.read_text(encoding="utf-8")  # every campaign that is listed has results
    read = Page(path.read_text(encoding="utf-8"))
    read.require_accessible()
    for link in [a["href"] for a in read.all("a")] + [picture["src"] for picture in read.all("img")]:
        assert link.startswith("#") or (path.parent / link).exists(), link


def test_the_reports_are_light_to_carry():
    files = committed.reports("**")
    assert sum(path.stat().st_size for path in files) <= 28e6
    assert max(path.stat().st_size for path in files if path.name == "index.html") <= 1.5e6
    assert {path.suffix or path.name for path in files} <= {
        "SHA256SUMS",
        ".csv",
        ".gz",
        ".html",
        ".json",
        ".md",
        ".pdf",
        ".png",
    } | {
        ".safetensors",
        ".tex",
        ".yaml",
    }


def test_looks_and_margins_are_told(shown):
    """Of the task whose results were looked at before the last seed: what that means, and e-values."""
    first, second = flat(shown).split("no figures for this task")
    assert "Looked at after 2, 3 seeds, before the last" in first and "Looked at" not in second
    assert "Results were looked at before the last seed was there." in first and " e = " in first
    assert " e = " not in second and "No e-value" not in second.split("What the design")[0]
    assert all("were set when the results of the campaigns first," in part for part in (first, second))


def test_power_says_how_many_seeds_there_are_where_they_differ(tmp_path, shown):
    assert "With 5 seeds and 12 comparisons." in shown.text and "5 paired seeds, 5 % over 12" in shown.text
    runs = synthetic.records().query("task == 'mnist-notmnist10k' and (labels == 50 or seed < 2)")
    expected = [run for run in synthetic.EXPECTED if run[0] == "mnist-notmnist10k"]
    read = write(tmp_path, results=synthetic.results(runs), expected=expected, power=True)
    assert "With 2 to 5 seeds and 12 comparisons." in read.text and "2 to 5 paired seeds, 5 % over 12" in read.text


def test_power_is_shown_with_its_numbers(shown):
    (table, *_) = [
        table["rows"] for table in shown.tables if table["rows"][0] == ["Labels ", "sd ", "Found ", "Equivalent "]
    ]
    assert [row[0] for row in table[1:]] == ["50 ", "100 ", "200 "]
    assert all(row[2].endswith("none ") for row in table[1:])  # of 12 comparisons with five seeds
    whole = [table for table in shown.tables if "Sign-flip (%) " in table["rows"][0]]
    assert len(whole) == 2 and all(table["folded"] and len(table["rows"]) >= 23 for table in whole)
