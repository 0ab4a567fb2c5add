import matplotlib
import numpy as np
import pytest
import synthetic
from matplotlib.figure import Figure
from PIL import Image

from lautum.report import figures, style, tables, training_figures


@pytest.fixture(scope="module")
def built():
    return tables.build_tables(synthetic.results(), synthetic.EXPECTED, synthetic.TASKS, synthetic.COMPARISONS)


def rows(built, table, task):
    numbers = built[table].numbers
    return numbers[numbers["task"] == task]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def hollow_points(axes):
    lines = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    return sorted(float(y) for line in lines for y in line.get_ydata() if not np.isnan(y))


def test_accuracy_figure_shows_means_intervals_and_the_papers_points(built):
    table = rows(built, "accuracy", "mnist-notmnist10k")
    figure = figures.accuracy_figure(table)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Target test accuracy (%)" and axes.get_xlabel() == "Labelled target images"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["50", "100", "200"]
    assert legend(figure) == ["Standard", "TE", "Mk-MMD", "Lautum", "mutual_information", "paper (one run)"]
    for container, (_, method) in zip(axes.containers, table.groupby("method", sort=False), strict=True):
        np.testing.assert_allclose(container[0].get_ydata(orig=False), 100 * method["mean"])
        ends = np.array([segment[:, 1] for segment in container[2][0].get_segments()])
        np.testing.assert_allclose(ends, 100 * method[["low", "high"]].to_numpy())
    # all of the paper's Table 1, in percent
    assert hollow_points(axes) == pytest.approx(
        [34.02, 37.28, 46.72, 47.96, 57.58, 61.45, 63.32, 65.21, 67.78, 74.87, 80.35, 83.77]
    )


def test_no_two_points_share_a_place(built):
    axes = figures.accuracy_figure(rows(built, "accuracy", "mnist-notmnist10k")).axes[0]
    x = np.concatenate([container[0].get_xdata() for container in axes.containers])
    assert np.diff(np.sort(x)).min() > 0.05


def test_accuracy_figure_says_what_is_missing_and_which_part(built):
    figure = figures.accuracy_figure(rows(built, "accuracy", "digits-letters"), part="validation")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Target validation accuracy (%)"
    assert "no results: Lautum at 200" in axes.get_xlabel()
    assert "n = 0 to 5 seeds" in axes.get_title()
    assert "paper (one run)" not in legend(figure) and hollow_points(axes) == []


def test_difference_figure(built):
    table = rows(built, "differences", "digits-letters")
    figure = figures.difference_figure(table, synthetic.METHODS)
    axes = figure.axes[0]
    assert axes.get_yticklabels()[0].get_text() == "Lautum − Standard, 50"
    assert [note.get_text() for note in axes.texts] == ["n = 5"] * 8 + ["missing"] * 4
    assert "percentage points" in axes.get_xlabel()
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata()) == 1]
    shown = [mean for mean in means if not np.isnan(mean)]
    np.testing.assert_allclose(shown, 100 * table["mean"].dropna())


def test_styles_differ_in_colour_and_without_it():
    assert len({colour for colour, _, _ in figures.STYLES}) == len(figures.STYLES)
    assert len({marker for _, marker, _ in figures.STYLES}) == len(figures.STYLES)


def test_files_are_the_same_bytes_every_time(tmp_path, built):
    table = rows(built, "accuracy", "mnist-notmnist10k")
    salt = matplotlib.rcParams["svg.hashsalt"]
    for folder in ("first", "second"):
        style.write({"plot": style.render(figures.accuracy_figure(table))}, tmp_path / folder)
    assert {path.name for path in (tmp_path / "first").iterdir()} == {"plot.png", "plot.pdf", "plot.svg"}
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert matplotlib.rcParams["svg.hashsalt"] == salt
    with Image.open(tmp_path / "first" / "plot.png") as image:
        assert round(image.info["dpi"][0]) == 200
    assert b"CreationDate" not in (tmp_path / "first" / "plot.pdf").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "first" / "plot.svg").read_bytes()


def test_figures_of_an_experiment_without_results():
    results = synthetic.results(synthetic.records().iloc[:0])
    built = tables.build_tables(results, synthetic.EXPECTED, synthetic.TASKS, synthetic.COMPARISONS)
    built_figures = figures.build_figures(built, "test")
    assert set(built_figures) == {f"{task}-{kind}" for task in synthetic.TASKS for kind in ("accuracy", "differences")}
    assert "(no results for 15 of 15 points)" in built_figures["digits-letters-accuracy"].axes[0].get_xlabel()
    runs = tables.grid(results.runs, synthetic.EXPECTED)
    assert training_figures.build_training_figures(runs, results) == {}


@pytest.fixture(scope="module")
def training():
    results = synthetic.results()
    return training_figures.build_training_figures(tables.grid(results.runs, synthetic.EXPECTED), results)


def test_training_figures_are_those_with_something_to_show(training):
    kinds = {"pretrain", "transfer", "confusion"}
    expected = {f"{task}-{kind}" for task in synthetic.TASKS for kind in kinds} | {"digits-letters-examples"}
    assert set(training) == expected


def test_pretrain_figure_shows_each_quantity_that_is_logged(training):
    panels = [axes for axes in training["mnist-notmnist10k-pretrain"].axes if axes.get_visible()]
    assert [axes.get_ylabel() for axes in panels] == [
        "Source cross-entropy (nats)",
        "Source batch accuracy (%)",
        "Lautum information (nats)",
    ]
    (line,) = panels[2].lines
    np.testing.assert_allclose(line.get_ydata(), np.arange(1, 11))
    np.testing.assert_allclose(panels[1].lines[0].get_ydata(), 10 * np.arange(1, 11))


def test_transfer_figure_has_a_panel_for_each_label_count(training):
    axes = training["digits-letters-transfer"].axes
    assert [a.get_title() for a in axes] == [f"{count} labelled images" for count in (50, 100, 200)]
    assert axes[0].lines[0].get_xdata().max() == 100
    assert legend(training["digits-letters-transfer"]) == ["Standard", "TE", "Mk-MMD", "Lautum", "mutual_information"]


def test_a_legend_stays_inside_the_figure_whatever_the_names():
    for names in (["A", "B", "C", "D"], ["a_method_with_a_long_name"] * 5, [f"{'one_of_many, ' * 4}"] * 3):
        figure = Figure(figsize=(figures.WIDTH, 3), layout="constrained")
        axes = figure.subplots()
        for name in names:
            axes.plot([0, 1], label=name)
        figures.add_legend(figure, axes.get_legend_handles_labels()[0])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert len(figure.legends) == 1 and 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert legend(figure) == names


def test_a_legend_without_names_or_with_one_too_long_is_no_error():
    figure = Figure(figsize=(figures.WIDTH, 3), layout="constrained")
    figures.add_legend(figure, [])
    assert figure.legends == []
    (line,) = figure.subplots().plot([0, 1], label="long" * 40)
    figures.add_legend(figure, [line])
    assert len(figure.legends) == 1


def test_transfer_losses_that_are_negative_leave_gaps():
    results = synthetic.results()
    curves = results.curves
    negative = (curves["stage"] == "transfer") & (curves["methods"] == "lautum")
    curves.loc[negative, "loss"] = -1.0
    figure = training_figures.transfer_figure(results, "digits-letters", ["standard", "lautum"])
    figure.draw_without_rendering()
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    only = training_figures.transfer_figure(results, "digits-letters", ["lautum"])
    assert {axes.get_yscale() for axes in only.axes} == {"linear"}
    assert {len(axes.collections) for axes in figure.axes} == {0}  # the mean alone


def test_confusion_by_hand():
    labels = np.array([0, 0, 0, 1])
    predictions = np.array([0, 1, 1, 1])
    expected = [[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(training_figures.confusion(labels, predictions, 3), expected)


def test_confusion_figure_names_classes_and_methods(training):
    axes = training["mnist-notmnist10k-confusion"].axes
    assert [a.get_title() for a in axes[:5]] == [
        "Standard (n = 5)",
        "TE (n = 2)",
        "Mk-MMD (n = 5)",
        "Lautum (n = 5)",
        "mutual_information (n = 5)",
    ]
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == list("ABCDEFGHIJ")
