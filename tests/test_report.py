import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
import synthetic

from lautum.report import figures, style, table_text, tables, training_figures
from lautum.report import page as page_of


class Page(HTMLParser):
    """Text outside <style>, tags with their attributes, and whether every element was closed in order."""

    VOID = {"meta", "img", "br"}

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.open = "", [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " ".join(data.split()) + "\n"


def write(folder, **changes):
    results, expected = changes.pop("results", synthetic.results()), changes.pop("expected", synthetic.EXPECTED)
    tasks, comparisons = changes.get("tasks", synthetic.TASKS), changes.pop("comparisons", synthetic.COMPARISONS)
    runs = tables.grid(results.runs, expected)
    built = tables.build_tables(results, expected, tasks, comparisons)
    drawn = figures.build_figures(built, tables.part_of(runs))
    drawn |= training_figures.build_training_figures(runs, results)
    arguments = {
        "name": "Synthetic <b>records</b>",
        "command": "snakemake --config 'a<b & c'",
        "runs": runs,
        "built": built,
        "rendered": {name: style.render(figure, ["svg"]) for name, figure in drawn.items()},
        "tasks": tasks,
        "methods": {name: f"what {name} is" for name in synthetic.METHODS},
        "hyperparameters": synthetic.HYPERPARAMETERS,
    }
    path = page_of.write_report(folder, **(arguments | changes))
    assert path == folder / "index.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"))


def test_headline_and_what_is_missing(page):
    assert "138 of 150 runs have a result." in " ".join(page.text.split())
    assert "12 of 150 runs are missing" in page.text
    assert "72 of 75" in page.text and "66 of 75" in page.text
    assert "missing (5 of 5 seeds)" in page.text and "no interval (n = 1)" in page.text
    assert "Table 1" in page.text and "no figures for this task" in page.text


def test_text_from_outside_is_escaped(page):
    assert "Synthetic <b>records</b>" in page.text and ("b", {}) not in page.tags
    assert "snakemake --config 'a<b & c'" in page.text
    assert "chosen: <0.01 & synthetic" in page.text


def test_page_needs_no_other_file(page):
    for tag, attributes in page.tags:
        assert tag not in ("link", "script")
        assert attributes.get("src", "data:").startswith("data:") and "href" not in attributes


def test_images_are_svg_with_alternative_text(page):
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 11  # for each task 2 of tables and 3 of training, for one the examples
    for image in images:
        kind, data = image["src"].split(",")
        assert kind == "data:image/svg+xml;base64" and image["alt"]
        assert ElementTree.fromstring(base64.b64decode(data)).tag == "{http://www.w3.org/2000/svg}svg"


def test_data_environment_and_hyperparameters(page):
    for text in ("digits-letters-eval", "mnist-notmnist10k-source", "Synthetic CPU", "lambda of Eq. 2", "0.003"):
        assert text in page.text
    assert re.search(r"Runs\ncpu\nSynthetic CPU\n1\n3.0\n0.0\nabc\n138\n", re.sub(r"\n+", "\n", page.text))
    assert "No search for hyper-parameters belongs to this experiment." in page.text


def test_trials_and_validation_part(tmp_path):
    trials = pd.DataFrame(
        {
            "task": "t",
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
    results = synthetic.results(synthetic.records("validation"))
    other = trials.assign(method="standard")
    page = write(tmp_path, results=results, trials={"first": trials, "other": other}, trials_missing=["second"])
    assert "0.7123" in page.text and "Every trial of first" in page.text
    assert "second is missing: this search has not been run to its end." in page.text
    assert "These are validation accuracies, not test accuracies." in page.text
    assert "Target validation accuracy: mean over n seeds" in page.text
    assert "target, validation images" in page.text
    images = [attributes.get("alt") for tag, attributes in page.tags if tag == "img"]
    assert images.count("t-budget") == 1  # both campaigns in one
    assert {"t-sensitivity-lautum", "t-sensitivity-standard"} <= set(images)


def test_every_campaign_is_listed(tmp_path):
    page = write(tmp_path, campaigns=[{"Campaign": "first", "Runs": 60}, {"Campaign": "second", "Runs": 24}])
    assert re.search(r"Campaigns\nCampaign\nRuns\nfirst\n60\nsecond\n24\n", re.sub(r"\n+", "\n", page.text))


def test_nothing_done_and_nothing_compared(tmp_path):
    page = write(tmp_path, results=synthetic.results(synthetic.records().iloc[:0]), comparisons=[])
    assert "0 of 150 runs have a result." in " ".join(page.text.split())
    assert "No comparisons are declared for the methods of this task." in page.text
    assert page.text.count("Nothing to show yet.") == 3  # costs, data, environment
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 2  # the plots of accuracy, which say so


def test_claims_and_the_rules_behind_the_words(page):
    text = " ".join(page.text.split())
    assert text.count("Does the paper’s claim hold?") == 1  # the other task is not in the paper
    assert "Lautum > Standard" in text
    for rule in ("contradicted if it is at one of them", "no wider than the range", "lies on the paper's side of zero"):
        assert rule in text
    assert "Classes A, B" in text


def test_methods_and_comparisons_outside_the_paper_are_put_in_words(page):
    assert "Mk-MMD\nwhat mk_mmd is" in page.text
    found = [line for line in page.text.splitlines() if " against " in line]
    # Of the paper's task only the comparison with a method that it does not have; of the other all with two results.
    assert sum("mutual_information" in line for line in found) == 2
    assert sum("Standard" in line for line in found) == 1
    assert all(f"{count} labels (" in line for line in found[:1] for count in (50, 100, 200))


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
        }
    )
    assert table_text.finding(rows) == (
        "Lautum against entropy: better at 50 labels (+1.23 [+0.20, +2.26]); worse at 100 labels (−1.50 [−2.00, "
        "−1.00]); not told apart at 200 labels (+1.00 [−1.00, +3.00]), 900 labels (+1.50 [+0.00, +3.00]); "
        "better, but not significantly after Holm's correction, at 500 labels (+2.00 [+1.00, +3.00])."
    )


def test_same_records_same_page(tmp_path):
    write(tmp_path / "first")
    write(tmp_path / "second")
    assert (tmp_path / "first/index.html").read_bytes() == (tmp_path / "second/index.html").read_bytes()
