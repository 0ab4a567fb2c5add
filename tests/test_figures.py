import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from PIL import Image

from lautum import paper
from lautum.report import figures, style, svg, tables, training_figures
from lautum.results.collected import CURVE_AXES


@pytest.fixture(scope="module")
def built():
    return tables.build_tables(synthetic.results(), synthetic.EXPECTED, synthetic.TASKS, synthetic.COMPARISONS)


def rows(built, table, task):
    numbers = built[table].numbers
    return numbers[numbers["task"] == task]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(axes, filled=True):
    """The places of marks in one panel, (n, 2), of our means or (not `filled`) of the paper's figures."""
    places = [
        collection.get_offsets()
        for collection in axes.collections
        if isinstance(collection, PathCollection) and bool(len(collection.get_facecolor())) == filled
    ]
    return np.concatenate([np.empty((0, 2)), *places])


def test_accuracy_figure_shows_means_intervals_and_the_papers_points(built):
    table = rows(built, "accuracy", "mnist-notmnist10k")
    figure = figures.accuracy_figure(table, synthetic.METHODS, "MNIST → notMNIST")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Target test accuracy (%)" and axes.get_xlabel() == "Labelled target images"
    assert axes.get_title().startswith("MNIST → notMNIST\n")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["50", "100", "200"]
    assert legend(figure) == ["Standard", "TE", "Mk-MMD", "Lautum", "mutual information minimisation", "paper"]
    by_method = table.sort_values(
        ["method", "labels"], key=lambda c: c.map(synthetic.METHODS.index) if c.name == "method" else c
    )
    np.testing.assert_allclose(marks(axes)[:, 1], 100 * by_method["mean"])
    bars = [lines for lines in axes.collections if isinstance(lines, LineCollection)]
    ends = np.array([segment[:, 1] for lines in bars for segment in lines.get_segments()])
    np.testing.assert_allclose(ends, 100 * by_method[["low", "high"]].to_numpy())
    # all of the paper's Table 1, in percent
    assert sorted(marks(axes, filled=False)[:, 1]) == pytest.approx(
        [34.02, 37.28, 46.72, 47.96, 57.58, 61.45, 63.32, 65.21, 67.78, 74.87, 80.35, 83.77]
    )


def test_no_two_points_share_a_place_and_nothing_joins_them(built):
    axes = figures.accuracy_figure(rows(built, "accuracy", "mnist-notmnist10k"), synthetic.METHODS, "task").axes[0]
    assert np.diff(np.sort(marks(axes)[:, 0])).min() > 0.05
    assert list(axes.lines) == []


def test_accuracy_figure_says_what_is_missing(built):
    table = rows(built, "accuracy", "digits-letters")
    figure = figures.accuracy_figure(table, synthetic.METHODS, "task")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Target test accuracy (%)"
    assert "no results: Lautum at 200" in axes.get_xlabel()
    assert "n = 0 to 5 seeds" in axes.get_title()
    assert "paper" not in legend(figure) and len(marks(axes, filled=False)) == 0


def test_difference_figure(built):
    table = rows(built, "differences", "digits-letters")
    figure = figures.difference_figure(table, synthetic.METHODS, "digits → letters")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["50", "100", "200"] * 4
    notes = [note.get_text() for note in axes.texts]
    assert notes[:4] == ["missing"] * 4  # five seeds everywhere else: no column of n
    assert notes[4:] == [f"Lautum − {name}" for name in ("Standard", "TE", "Mk-MMD", "mutual information minimisation")]
    assert axes.get_xlabel() == "Difference of test accuracy (points)"
    ordered = table.sort_values(
        ["baseline", "labels"], key=lambda c: c.map(synthetic.METHODS.index) if c.name == "baseline" else c
    )
    np.testing.assert_allclose(marks(axes)[:, 0], 100 * ordered["mean"].dropna())


def test_a_number_of_seeds_is_written_where_it_is_another(built):
    table = rows(built, "differences", "mnist-notmnist10k")
    figure = figures.difference_figure(table, synthetic.METHODS, "task")
    assert [note.get_text() for note in figure.axes[0].texts if note.get_text().startswith("n")] == ["n = 2"]


def test_intervals_and_the_papers_figures_are_told_apart_in_grey(built):
    """By width, by caps and by shape: not by colour."""
    axes = figures.difference_figure(rows(built, "differences", "mnist-notmnist10k"), synthetic.METHODS, "task").axes[0]
    widths = {(line.get_linewidth(), line.get_marker()) for line in axes.lines if len(set(line.get_ydata())) == 1}
    assert {(5, "None"), (0.9, "|")} <= widths
    ours = {look.marker for look in style.METHOD_STYLES.values()}
    assert figures.PAPER_MARK["marker"] not in ours and len(marks(axes, filled=False)) == 9


def test_the_answer_has_a_panel_for_each_task(built):
    figure = figures.build_figures(built)["answer"]
    assert [axes.get_title().split(",")[0] for axes in figure.axes] == ["MNIST → notMNIST (10", "digits → letters"]
    for axes, task in zip(figure.axes, synthetic.TASKS, strict=True):
        table = rows(built, "differences", task)
        assert sorted(marks(axes)[:, 0]) == pytest.approx(sorted(100 * table["mean"].dropna()))


def test_a_method_looks_the_same_in_every_figure_of_every_campaign(built, training):
    alone = rows(built, "accuracy", "digits-letters").query("method in ('lautum', 'mk_mmd')")
    for table in (alone, rows(built, "accuracy", "digits-letters")):
        figure = figures.accuracy_figure(table, list(table["method"].unique()), "task")
        look = {
            handle.get_label(): (handle.get_color(), handle.get_marker()) for handle in figure.legends[0].legend_handles
        }
        for method, name in (("lautum", "Lautum"), ("mk_mmd", "Mk-MMD")):
            assert look[name] == style.METHOD_STYLES[method][:2]
    for figure in training.values():
        for line in (line for axes in figure.axes for line in axes.lines if line.get_label() == "Lautum"):
            assert line.get_color() == style.METHOD_STYLES["lautum"].colour
    own = [style.method_style(name, ["mine", "lautum", "yours"]) for name in ("mine", "yours")]
    assert len({*own, *style.METHOD_STYLES.values()}) == len(style.METHOD_STYLES) + 2
    assert not {look.colour for look in own} & {style.METHOD_STYLES[method].colour for method in paper.METHOD_NAMES}


def test_styles_differ_in_colour_and_without_it():
    assert style.METHOD_STYLES.keys() >= {*paper.METHOD_NAMES, *paper.OTHER_NAMES}
    assert len({colour for colour, _, _ in style.STYLES}) == len(style.STYLES)
    assert len({marker for _, marker, _ in style.STYLES}) == len(style.STYLES)


def test_files_are_the_same_bytes_every_time(tmp_path, built):
    table = rows(built, "accuracy", "mnist-notmnist10k")
    salt = matplotlib.rcParams["svg.hashsalt"]
    pages = []
    for folder in ("first", "second"):
        figure = figures.accuracy_figure(table, synthetic.METHODS, "task")
        style.write({"plot": figure}, tmp_path / folder)
        pages.append(svg.embed(figure, "plot", "text"))
    assert {path.name for path in (tmp_path / "first").iterdir()} == {"plot.png", "plot.pdf"}
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert pages[0] == pages[1] == svg.embed(figures.accuracy_figure(table, synthetic.METHODS, "task"), "plot", "text")
    assert matplotlib.rcParams["svg.hashsalt"] == salt
    with Image.open(tmp_path / "first" / "plot.png") as image:
        assert round(image.info["dpi"][0]) == style.DPI
    pdf = (tmp_path / "first" / "plot.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/Type3" not in pdf and b"/CIDFontType2" in pdf  # TrueType, as publishers want it


def test_a_figure_in_a_page_keeps_its_words_and_names_its_marks():
    figure = Figure(figsize=(2, 2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("0.12345 & <more>")
    drawn = axes.scatter([1, 2, 3], [1, 2, 4])
    svg.name_marks(drawn, ["one", "two & <2>", "three"])
    axes.plot([1, 2], [1, 2], marker="o")
    text = str(svg.embed(figure, "mine", 'what "is" seen'))
    root = ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    names = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert names == ["one", "two & <2>", "three"]
    assert "0.12345 & <more>" in [word.text for word in root.iter("{http://www.w3.org/2000/svg}text")]
    assert root.get("role") == "img" and root.get("aria-label") == 'what "is" seen'
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert ids == set(re.findall(r"""(?:href="|url\()#([\w-]+)""", text)) and ids
    other = svg.embed(figure, "other", "text")
    assert not ids & set(re.findall(r' id="([^"]+)"', other))
    with pytest.raises(ValueError, match="2 texts for 3 marks"):
        svg.name_marks(drawn, ["one", "two"])


def test_dollars_in_titles_and_classes_are_dollars_and_a_logarithmic_axis_has_powers(built):
    title = r"Prices in $ (#1) → Prices in $ (\$2)"
    classes = ["$a_", "b$", "$^$"]
    kept = {"t/images": np.zeros((3, 1, 4, 4), dtype=np.uint8), "t/labels": np.arange(3, dtype=np.uint8)}
    results = replace(synthetic.results(), examples=kept, classes={"t": classes})
    logarithmic = Figure(figsize=(3, 3), layout="constrained")
    axes = logarithmic.subplots()
    axes.loglog([1e-3, 10], [2, 3])  # on the second, numbers between two powers
    axes.set_title(title)
    for figure, names in (
        (figures.accuracy_figure(rows(built, "accuracy", "digits-letters"), synthetic.METHODS, title), [title]),
        (training_figures.examples_figure(results, "t"), classes),
        (logarithmic, [title, "−", "×"]),
    ):
        root = ElementTree.fromstring(style.render(figure, ["svg", "png", "pdf"])["svg"])
        words = [word.text for word in root.iter() if word.tag.endswith(("}text", "}tspan"))]
        assert set(names) <= set(words)
        assert not any("math" in (word or "") for word in words)


def test_a_figure_of_a_page_has_no_more_elements_than_its_picture_needs():
    """Lines that are drawn alike and follow one another are one path, but for those that shine through."""
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.axis("off")
    axes.vlines([1, 2, 3], 0, 1, color="#123456", linewidth=2)
    axes.vlines([4, 5], 0, 1, color="#654321", linewidth=2)
    axes.vlines([6, 7, 8], 0, 1, color="#abcdef", linewidth=2, alpha=0.5)
    axes.scatter([1, 2], [2, 2], color="#fedcba")
    axes.set_title(" ")  # an empty group
    text = str(svg.embed(figure, "mine", "lines"))
    drawn = re.findall(r'<path d="([^"]*)"[^>]*stroke:(#[0-9a-f]{6})', text)
    assert [(colour, path.count("M"), path.count("L")) for path, colour in drawn] == [
        ("#123456", 3, 3),
        ("#654321", 2, 2),
        *3 * [("#abcdef", 1, 1)],
    ]
    places = [float(x) for x in re.findall(r"M([0-9.]+) ", "".join(path for path, _ in drawn))]
    assert places == sorted(places) and len({*places}) == 8
    assert "<g>" not in text and text.count("<g") == text.count("</g>")
    (shape,) = re.findall(r'<path id="[^"]*"[^>]* style="([^"]*)"/>', text)
    assert text.count("<use") == 2 and shape not in re.findall(r'<use[^>]*style="([^"]*)"', text)


def test_figures_of_an_experiment_without_results():
    results = synthetic.results(synthetic.records().iloc[:0])
    built = tables.build_tables(results, synthetic.EXPECTED, synthetic.TASKS, synthetic.COMPARISONS)
    built_figures = figures.build_figures(built)
    assert set(built_figures) == {
        f"{task}-{kind}" for task in synthetic.TASKS for kind in ("accuracy", "differences")
    } | {"answer"}
    assert "(no results for 15 of 15 points)" in built_figures["digits-letters-accuracy"].axes[0].get_xlabel()
    runs = tables.grid(results.runs, synthetic.EXPECTED)
    assert (
        training_figures.build_figures(runs, results, {task: task for task in synthetic.TASKS}, ("lautum", "standard"))
        == {}
    )


@pytest.fixture(scope="module")
def training():
    results = synthetic.results()
    transfers = {task: f"source → {task}" for task in synthetic.TASKS}
    runs = tables.grid(results.runs, synthetic.EXPECTED)
    return training_figures.build_figures(runs, results, transfers, ("lautum", "standard"))


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


def test_of_an_objective_that_logs_nothing_known_there_is_the_loss():
    results = synthetic.results()
    unknown = results.curves[[*CURVE_AXES, "loss"]].assign(my_own_quantity=1.0)
    figure = training_figures.pretrain_figure(replace(results, curves=unknown), "digits-letters", "t", ["standard"])
    (axes,) = (axes for axes in figure.axes if axes.get_visible())
    assert axes.get_ylabel() == "Training loss (nats)"
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1 / number for number in range(1, 11)])
    assert legend(figure) == ["Standard"]


def test_transfer_figure_has_a_panel_for_each_label_count(training):
    axes = training["digits-letters-transfer"].axes
    assert [a.get_title() for a in axes] == [f"{count} labels" for count in (50, 100, 200)]
    assert axes[0].lines[0].get_xdata().max() == 100
    assert legend(training["digits-letters-transfer"]) == [
        "Standard",
        "TE",
        "Mk-MMD",
        "Lautum",
        "mutual information minimisation",
    ]


def test_curves_are_smoothed_over_a_tenth_of_the_stage():
    results = synthetic.results()
    curves = results.curves.query("task == 'digits-letters' and methods == 'lautum' and labels == '50'")
    long = pd.concat(
        [curves.query("stage == 'transfer'").assign(step=lambda c, n=n: c["step"] + 100 * n) for n in range(3)]
    )
    long["loss"] = np.where(long["step"] % 20, 3.0, 1.0)  # to and fro from batch to batch
    figure = training_figures.transfer_figure(replace(results, curves=long), "digits-letters", "task", ["lautum"])
    y = figure.axes[0].lines[0].get_ydata()
    assert len(y) == 30 and y[5:25] == pytest.approx([7 / 3, 5 / 3] * 10, abs=1e-9)


def test_losses_with_a_consistency_term_are_apart():
    results = synthetic.results()
    curves = results.curves
    curves["consistency"] = np.where(curves["methods"] == "temporal_ensembling", 0.1, np.nan)
    figure = training_figures.transfer_figure(results, "digits-letters", "task", synthetic.METHODS)
    shown = [{line.get_label() for line in axes.lines} for axes in figure.axes]
    assert (
        shown
        == [{"Standard", "Mk-MMD", "Lautum", "mutual information minimisation"}] * 2
        + [{"Standard", "Mk-MMD", "mutual information minimisation"}]
        + [{"TE"}] * 3
    )  # no run of Lautum at 200 labels
    assert [axes.get_ylabel() for axes in figure.axes][::3] == [
        "Training loss\n(nats)",
        "With consistency\nterm (nats)",
    ]


def test_a_legend_stays_inside_the_figure_whatever_the_names():
    for names in (["A", "B", "C", "D"], ["a_method_with_a_long_name"] * 5, [f"{'one_of_many, ' * 4}"] * 3):
        figure = Figure(figsize=(style.WIDTH, 3), layout="constrained")
        axes = figure.subplots()
        for name in names:
            axes.plot([0, 1], label=name)
        style.add_legend(figure, axes.get_legend_handles_labels()[0])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert len(figure.legends) == 1 and 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert legend(figure) == names


def test_no_title_or_label_is_cut_off(built, training):
    for name, figure in (figures.build_figures(built) | training).items():
        figure.draw_without_rendering()
        texts = [
            figure._suptitle,
            *(text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)),
        ]
        for text in texts:
            if text is not None and text.get_text():
                box = text.get_window_extent()
                inside = 0 <= box.x0 and box.x1 <= figure.bbox.width and 0 <= box.y0 and box.y1 <= figure.bbox.height
                assert inside, (name, text.get_text())


def test_a_legend_without_names_or_with_one_too_long_is_no_error():
    figure = Figure(figsize=(style.WIDTH, 3), layout="constrained")
    style.add_legend(figure, [])
    assert figure.legends == []
    (line,) = figure.subplots().plot([0, 1], label="long" * 40)
    style.add_legend(figure, [line])
    assert len(figure.legends) == 1


def test_transfer_losses_that_are_negative_leave_gaps():
    results = synthetic.results()
    curves = results.curves
    negative = (curves["stage"] == "transfer") & (curves["methods"] == "lautum")
    curves.loc[negative, "loss"] = -1.0
    figure = training_figures.transfer_figure(results, "digits-letters", "task", ["standard", "lautum"])
    figure.draw_without_rendering()
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    only = training_figures.transfer_figure(results, "digits-letters", "task", ["lautum"])
    assert {axes.get_yscale() for axes in only.axes} == {"linear"}
    assert {len(axes.collections) for axes in figure.axes} == {0}  # the mean alone


def test_confusion_by_hand():
    labels = np.array([0, 0, 0, 1])
    predictions = np.array([0, 1, 1, 1])
    expected = [[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(training_figures.confusion(labels, predictions, 3), expected)


def test_confusion_figure_shows_the_difference_of_two_methods(training):
    """Of the synthetic predictions each is right or the next class: 2 % more right are 2 points on the diagonal."""
    axes = training["mnist-notmnist10k-confusion"].axes[0]
    assert axes.get_title() == "source → mnist-notmnist10k, 50 labelled images\nLautum − Standard, n = 5 seeds"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list("ABCDEFGHIJ")
    shown = np.asarray(axes.images[0].get_array())
    results = synthetic.results()
    accuracy = results.runs.query("task == 'mnist-notmnist10k' and labels == 50").groupby("method")["accuracy"].mean()
    assert np.trace(shown) / 10 == pytest.approx(100 * (accuracy["lautum"] - accuracy["standard"]))
    np.testing.assert_allclose(shown.sum(axis=1), 0, atol=1e-9)


def test_examples_stand_in_the_column_of_their_class():
    results = synthetic.results()
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 4, 4), dtype=np.uint8)
    kept = {"t/images": images, "t/labels": np.array([0, 0, 1, 1, 1, 2], dtype=np.uint8)}
    figure = training_figures.examples_figure(replace(results, examples=kept, classes={"t": ["a", "b", "c"]}), "t")
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert picture.shape == (15, 15)
    white = 255
    assert picture[::5, ::5].tolist() == [[0, 2, 5], [1, 3, white], [white, 4, white]]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]
