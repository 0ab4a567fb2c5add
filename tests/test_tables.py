import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import synthetic
import yaml
from committed import ROOT

from lautum import paper
from lautum.errors import LautumError
from lautum.report import table_text, tables
from lautum.results import statistics


@pytest.fixture(scope="module")
def built():
    return build(synthetic.records())


def row(table, **axes):
    """The one row of `table.numbers` at these axes, and its text."""
    chosen = np.logical_and.reduce([table.numbers[axis] == value for axis, value in axes.items()])
    assert chosen.sum() == 1
    return table.numbers[chosen].iloc[0], table.cells[chosen].iloc[0]


def build(records):
    results = synthetic.results(records)
    return tables.build_tables(results, synthetic.EXPECTED, synthetic.TASKS, synthetic.COMPARISONS)


def test_readers_know_every_method_by_words():
    """Of the configurations that come with the suite; a page beside them still has the key."""
    configs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "config").glob("*.yaml"))]
    # A trial of a search by hand has its values in its name.
    methods = {method for config in configs for method in config.get("methods", {}) if "-" not in method}
    assert methods >= {*paper.METHOD_NAMES, *paper.OTHER_NAMES}
    names = {method: paper.method_name(method) for method in methods}
    assert [name for name in names.values() if "_" in name] == []
    assert len({*names.values()}) == len(methods)
    assert paper.name_and_key("temporal_ensembling") == "TE (temporal_ensembling)"
    assert paper.name_and_key("Mean_Teacher") == "Mean Teacher (Mean_Teacher)"  # of one's own
    assert paper.name_and_key("distilled") == "distilled"


def test_paper_figures():
    """Against the rows of the published tables, and the gaps between Lautum and Mk-MMD worked out from them."""
    assert len(paper.ACCURACIES) == 24
    assert paper.accuracy("mnist-notmnist", "standard", 50) == pytest.approx(0.3402)
    assert paper.accuracy("mnist-notmnist", "temporal_ensembling", 100) == pytest.approx(0.6145)
    assert paper.accuracy("mnist-notmnist", "lautum", 200) == pytest.approx(0.8377)
    assert paper.accuracy("cifar10-cifar100", "mk_mmd", 200) == pytest.approx(0.593)
    gaps = [
        100 * (paper.accuracy("cifar10-cifar100", "lautum", n) - paper.accuracy("cifar10-cifar100", "mk_mmd", n))
        for n in (100, 200, 500)
    ]
    assert gaps == pytest.approx([1.4, 1.6, 2.8])
    assert np.isnan(paper.accuracy(None, "lautum", 50)) and np.isnan(paper.accuracy("mnist-notmnist", "other", 50))


def test_accuracy_cell_by_hand(built):
    records = synthetic.records()
    values = records.query("task == 'mnist-notmnist10k' and method == 'lautum' and labels == 50")["accuracy"]
    mean, half_width = values.mean(), 2.776445 * values.std() / np.sqrt(5)  # t(0.975, 4) from a published table
    numbers, text = row(built["accuracy"], task="mnist-notmnist10k", method="lautum", labels=50)
    assert (numbers["mean"], numbers["low"], numbers["high"]) == pytest.approx(
        (mean, mean - half_width, mean + half_width), abs=1e-7
    )
    assert text.tolist() == [
        "Lautum",
        "MNIST → notMNIST (10,000)",
        "50",
        f"{100 * mean:.2f}",
        f"[{100 * (mean - half_width):.2f}, {100 * (mean + half_width):.2f}]",
        "5",
        f"[{100 * (mean - np.sqrt(6) * half_width):.2f}, {100 * (mean + np.sqrt(6) * half_width):.2f}]",
        "47.96",
    ]


def test_order_is_task_labels_method_of_the_configuration(built):
    numbers = built["accuracy"].numbers
    assert numbers["task"].unique().tolist() == list(synthetic.TASKS)
    block = numbers[numbers["task"] == "digits-letters"]
    assert block["labels"].tolist() == [50] * 5 + [100] * 5 + [200] * 5
    assert block["method"].tolist() == synthetic.METHODS * 3


def test_what_is_missing_is_said(built):
    _, gone = row(built["accuracy"], task="digits-letters", method="lautum", labels=200)
    assert gone[table_text.ACCURACY] == "missing (5 of 5 seeds)" and gone["95 % CI"] == "–" and gone["n"] == "0"
    single, text = row(built["accuracy"], task="digits-letters", method="mk_mmd", labels=200)
    assert text["95 % CI"] == "no interval (n = 1)" and text["n"] == "1 (missing 4 of 5)"
    assert np.isnan(single["low"]) and not np.isnan(single["mean"])
    _, two = row(built["accuracy"], task="mnist-notmnist10k", method="temporal_ensembling", labels=50)
    assert two["n"] == "2 (missing 3 of 5)" and two["95 % CI"].startswith("[")
    _, gone = row(built["differences"], task="digits-letters", baseline="standard", labels=200)
    assert (
        gone["Difference (points)"] == "missing (5 of 5 seeds)"
        and gone["Sign-flip p (Holm)"] == gone["t p (Holm)"] == "–"
    )
    assert gone["Practically zero"] == gone["P(A > B)"] == "–"


def test_task_and_method_without_paper_figures(built):
    _, text = row(built["accuracy"], task="digits-letters", method="lautum", labels=50)
    assert text["Paper (%)"] == "–"
    _, text = row(built["accuracy"], task="mnist-notmnist10k", method="mutual_information", labels=50)
    assert (text["Method"], text["Paper (%)"]) == ("mutual information minimisation", "–")


def test_best_is_the_highest_mean_of_its_block(built):
    numbers = built["accuracy"].numbers
    best = numbers[numbers["best"]].set_index(["task", "labels"])["mean"]
    assert len(best) == 6
    pd.testing.assert_series_equal(best, numbers.groupby(["task", "labels"], sort=False)["mean"].max())


def test_of_methods_with_as_many_right_predictions_each_is_best():
    """Whose means are another in the last bit."""
    records = synthetic.records().query("task == 'digits-letters' and labels == 50 and seed < 3").copy()
    correct = {"standard": (595, 777, 901), "lautum": (580, 746, 947), "mk_mmd": (600, 700, 900)}
    records = records[records["method"].isin(correct)]
    records["correct"] = [correct[run.method][run.seed] for run in records.itertuples()]
    records["accuracy"] = records["correct"] / 1000
    numbers = build(records)["accuracy"].numbers.dropna(subset="mean").set_index("method")
    assert numbers.loc["standard", "mean"] != numbers.loc["lautum", "mean"]
    assert list(numbers.index[numbers["best"]]) == ["standard", "lautum"]


def test_difference_uses_common_seeds_only(built):
    records = synthetic.records().query("task == 'mnist-notmnist10k' and labels == 50 and seed < 2")
    accuracy = records.pivot(index="seed", columns="method", values="accuracy")
    expected = (accuracy["lautum"] - accuracy["temporal_ensembling"]).mean()
    numbers, text = row(built["differences"], task="mnist-notmnist10k", baseline="temporal_ensembling", labels=50)
    assert (numbers["n"], numbers["n_expected"]) == (2, 5)
    assert numbers["mean"] == pytest.approx(expected)
    assert text["Difference (points)"] == f"{100 * expected:+.2f}"
    assert text["Paper (points)"] == "+10.68"  # 47.96 - 37.28


def test_difference_intervals_come_from_the_predictions(built):
    results = synthetic.results()
    labels = results.arrays["digits-letters/labels"]
    scores = [
        (results.arrays[f"digits-letters/lautum/n100/seed{seed}"] == labels).astype(float)
        - (results.arrays[f"digits-letters/standard/n100/seed{seed}"] == labels)
        for seed in range(5)
    ]
    numbers, _ = row(built["differences"], task="digits-letters", method="lautum", baseline="standard", labels=100)
    assert (numbers["images_low"], numbers["images_high"]) == statistics.seeds_and_images_interval(np.stack(scores))
    assert (numbers["low"], numbers["high"]) == pytest.approx(statistics.mean_interval(np.mean(scores, axis=1)))


def test_claims_count_the_verdicts_over_label_counts(built):
    claims = built["claims"].numbers
    assert set(claims["task"]) == {"mnist-notmnist10k"}  # the other task is not in the paper
    assert claims["baseline"].tolist() == ["standard", "temporal_ensembling", "mk_mmd"]
    differences = built["differences"].numbers.query("task == 'mnist-notmnist10k' and baseline == 'standard'")
    resolved = (differences["low"] > 0).sum()
    first = claims.iloc[0]
    assert (first["reproduced"], first["contradicted"]) == (resolved, (differences["high"] < 0).sum())
    assert first["verdict"] == ("reproduced" if resolved == 3 else "consistent but unresolved")


def test_a_claim_names_the_method_that_is_better_in_the_paper():
    results = synthetic.results()
    built = tables.build_tables(results, synthetic.EXPECTED, synthetic.TASKS, [("standard", "lautum")])
    claim = built["claims"].numbers.iloc[0]
    assert (claim["method"], claim["baseline"]) == ("lautum", "standard")
    assert built["claims"].cells.iloc[0]["Claim"] == "Lautum > Standard"


def test_pretraining_is_the_mean_of_the_last_five_points(built):
    numbers, text = row(built["pretraining"], task="mnist-notmnist10k", methods="lautum")
    assert (numbers["n"], numbers["lautum_information"]) == (15, 8)  # of 6 .. 10
    assert text["Source batch accuracy (%)"] == "80.0" and text["Largest canonical correlation"] == "–"
    in_order = synthetic.curves(synthetic.records())[["task", "methods"]].drop_duplicates()
    assert built["pretraining"].numbers[["task", "methods"]].values.tolist() == in_order.values.tolist()


def test_holm_is_over_the_comparisons_of_a_task(built):
    numbers = built["differences"].numbers
    smallest = numbers[numbers["p"] == 2 / 32]
    # 12 comparisons in each task, of which 4 have no result in one: 12 / 16 all the same
    assert smallest.groupby("task")["p_holm"].min().to_dict() == {"mnist-notmnist10k": 0.75, "digits-letters": 0.75}


def test_costs_are_medians_and_the_largest_memory(built):
    numbers, text = row(built["costs"], task="mnist-notmnist10k", method="lautum", labels=50)
    assert (numbers["pretrain_seconds"], numbers["transfer_seconds"], numbers["n"]) == (12, 4, 5)
    assert text["Peak memory (MB)"] == "404" and text["Pre-transfer (images/s)"] == "12,000"


def test_costs_of_two_machines_stay_apart():
    records = synthetic.records()
    records.loc[records["seed"] == 4, ["device", "pretrain_seconds"]] = ["cuda", 1.0]
    costs = build(records)["costs"].numbers.query("task == 'mnist-notmnist10k' and method == 'lautum' and labels == 50")
    assert costs["machine"].tolist() == ["Synthetic CPU, 1 thread(s)", "cuda, Synthetic CPU, 1 thread(s)"]
    assert costs["pretrain_seconds"].tolist() == [11.5, 1.0]


def test_records_that_are_not_expected_are_left_out(built):
    records = synthetic.records()
    extra = records.iloc[:1].assign(seed=99, accuracy=0.0)
    again = build(pd.concat([records, extra], ignore_index=True))
    pd.testing.assert_frame_equal(again["accuracy"].numbers, built["accuracy"].numbers)


def test_no_records_at_all():
    built = build(synthetic.records().iloc[:0])
    assert built["accuracy"].cells[table_text.ACCURACY].eq("missing (5 of 5 seeds)").all()
    assert not built["accuracy"].best.any()
    assert table_text.markdown(built["costs"]).startswith("No results.")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: pd.concat([r, r.iloc[[3]].assign(key="other")]), "two records for .*labels 50, seed 3"),
        (lambda r: r.assign(target_eval_sha256=[f"{s}" for s in r["seed"]]), "mnist-notmnist10k differ in target_eval"),
        (lambda r: r.assign(device=r["method"]), "labels 50, seed 0 differ in device"),
        (lambda r: r.assign(split_sha256=r["method"]), "labels 50, seed 0 differ in split_sha256"),
    ],
)
def test_records_that_cannot_be_compared_are_refused(change, message):
    with pytest.raises(LautumError, match=message):
        build(change(synthetic.records()))


def test_files(tmp_path, built):
    tables.write_tables(built, tmp_path / "tables")
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {f"{name}.{suffix}" for name in built for suffix in ("md", "csv", "tex")}

    numbers = pd.read_csv(tmp_path / "tables" / "accuracy.csv")
    np.testing.assert_allclose(numbers["mean"], built["accuracy"].numbers["mean"])

    lines = (tmp_path / "tables" / "accuracy.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "| Method | Source → Target | # labelled | Accuracy (%) | 95 % CI | n | One run | Paper (%) |"
    assert sum("| **" in line for line in lines) == 6  # one in bold per task and label count
    assert "| missing (5 of 5 seeds) |" in "\n".join(lines)

    tex = (tmp_path / "tables" / "accuracy.tex").read_text(encoding="utf-8")
    assert tex.count(r"\textbf{") == 6 and tex.isascii()
    assert "mutual information minimisation" in tex and r"95 \% CI" in tex and r"\toprule" in tex
    cells = pd.DataFrame({"Method": ["my_method"]})
    assert r"my\_method" in table_text.latex(table_text.Table(cells, cells, "Caption."))
    assert r"$-$" in (tmp_path / "tables" / "differences.tex").read_text(encoding="utf-8")


def test_import_does_not_load_torch_or_pyplot():
    code = (
        "import lautum.results.statistics, lautum.report.tables, lautum.report.figures, lautum.report.page, sys; "
        "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_cell_of_a_markdown_table_stays_a_cell():
    cells = pd.DataFrame({"Machine": ["a\nb | <script>alert(1)</script> & c", "plain"]})
    lines = table_text.markdown(table_text.Table(cells, cells, "Caption.")).splitlines()
    assert lines[2:4] == ["| a b \\| &lt;script>alert(1)&lt;/script> &amp; c |", "| plain |"]
