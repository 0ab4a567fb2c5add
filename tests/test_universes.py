"""Campaigns over the choices that a paper leaves open: the sample, what it means for methods, what is refused."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import committed
import numpy as np
import pages
import pandas as pd
import pytest
import recompute
import recompute_tables
import recompute_universes
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from scipy import stats

import lautum
from lautum import paper, schema
from lautum.errors import LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.experiment.universes import CLAIM, low_discrepancy
from lautum.files import sha256_of_arrays, write_arrays
from lautum.pipeline.run_record import Predictions, RunRecord, Snapshot
from lautum.report import campaign as campaigns
from lautum.report import universes_figures, universes_page
from lautum.results import collected, multiverse, universes
from lautum.results.collected import IN_COMMON

ROOT = Path(__file__).parent.parent
RATE = {"stage": "pretrain", "setting": "learning_rate", "low": 1e-4, "high": 1e-2, "source": "chosen: x"}
STEPS = {"stage": "pretrain", "setting": "steps", "low": 3, "high": 9, "scale": "linear", "source": "chosen: x"}
WEIGHT = {"stage": "pretrain", "methods": ["lautum"], "setting": "weight", "low": 0.1, "high": 1, "source": "chosen: x"}
HEAD = {
    "stage": "transfer",
    "source": "inferred: x",
    "levels": {
        "kept": {},
        "fresh": {"head": "reinitialise"},
        "fresh, slow": {"head": "reinitialise", "clip_norm": 0.1},
    },
}
FACTORS = {"rate": RATE, "source steps": STEPS, "lambda": WEIGHT, "head": HEAD}
NEAR = {"method": "standard", "seeds": [7]}
UNIVERSES = {"count": 6, "crossed": 2, "sample": 1, "every": {"lautum": 4}, "nearness": NEAR, "factors": FACTORS}


@pytest.fixture
def campaign(tmp_path):
    def make(**changed) -> Layout:
        values = {"extends": str(ROOT / "config/config.yaml"), "name": "toy"}
        values |= {"grid": {"tasks": ["digits-letters"], "methods": ["standard", "lautum"], "seeds": [4, 5]}}
        values |= {"comparisons": [["lautum", "standard"]]}
        values |= {"universes": UNIVERSES | changed}
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
        return Layout(config.load(tmp_path / "toy.yaml"))

    return make


def test_every_method_is_run_in_the_same_universes(campaign):
    layout = campaign(every={})
    made = layout.config
    assert made.grid.methods == tuple(f"{method}-u{n:02d}" for method in ("standard", "lautum") for n in range(6))
    for number, levels in enumerate(made.universes.levels()):
        for method in ("standard", "lautum"):
            name = f"{method}-u{number:02d}"
            assert (made.methods[name].arm, made.methods[name].universe) == (method, number)
            pretrain = made.pretrain_settings("digits-letters", name)
            transfer = made.transfer_settings("digits-letters", name)
            assert (pretrain.learning_rate, pretrain.steps) == (levels["rate"], round(levels["source steps"]))
            assert (
                isinstance(pretrain.steps, int) and 3 <= pretrain.steps <= 9 and 1e-4 <= pretrain.learning_rate <= 1e-2
            )
            assert transfer.head == ("keep" if levels["head"] == "kept" else "reinitialise")
            assert transfer.clip_norm == (0.1 if levels["head"] == "fresh, slow" else 5.0)
            assert transfer.steps == 200  # what is no factor is the task's
        assert made.pretrain_settings("digits-letters", f"lautum-u{number:02d}").weight == levels["lambda"]


def test_no_universe_is_beyond_bounds_that_need_more_digits_than_it_has(campaign):
    decay = WEIGHT | {"setting": "decay", "low": 0.99, "high": 0.9999, "scale": "linear"}
    made = campaign(count=64, crossed=1, every={}, factors=FACTORS | {"decay": decay}).config
    drawn = {made.pretrain_settings("digits-letters", f"lautum-u{n:02d}").decay for n in range(64)}
    assert len(drawn) > 8 and 0.99 <= min(drawn) and max(drawn) == 0.9999


def test_pretransfer_choices_are_shared_by_as_many_universes_as_said(campaign):
    layout = campaign()
    levels = layout.config.universes.levels()
    for first, second in zip(levels[::2], levels[1::2], strict=True):
        assert [first[name] for name in ("rate", "source steps")] == [second[name] for name in ("rate", "source steps")]
    assert len({choice["rate"] for choice in levels}) == 3
    networks = {layout.pretrained("digits-letters", f"standard-u{n:02d}", 50, 4) for n in range(6)}
    assert len(networks) == 3


def test_a_mark_tells_what_was_trained(campaign):
    """Whole numbers where something is counted, and all their digits."""
    factors = FACTORS | {"source steps": STEPS | {"high": 9000, "scale": "log"}}
    loaded = campaign(factors=factors, count=12).config
    chosen = multiverse.chosen(loaded)
    texts = universes_figures.describe(SimpleNamespace(chosen=chosen), range(12), [None] * 12)
    for number, text in enumerate(texts):
        trained = loaded.pretrain_settings("digits-letters", f"standard-u{number:02d}")
        assert text.startswith(f"universe {number}; ")
        assert text.endswith(f", rate: {trained.learning_rate:g}, source steps: {trained.steps}")
    steps = [choice["source steps"] for choice in chosen]
    assert min(steps) < 100 and max(steps) > 1000 and all(isinstance(some, int) for some in steps)
    assert [choice["rate"] for choice in chosen] == [choice["rate"] for choice in loaded.universes.levels()]


def test_more_universes_keep_the_earlier_ones(campaign):
    few, many = campaign(count=6), campaign(count=12)
    assert many.config.universes.levels()[:6] == few.config.universes.levels()
    for name in few.config.grid.methods:
        assert few.record_key("digits-letters", name, 50) == many.record_key("digits-letters", name, 50)


def test_the_sample_is_the_same_on_every_machine():
    points = low_discrepancy(4, 3, 118)
    assert points.shape == (4, 3)
    np.testing.assert_allclose(points[0], [0.1379441444837356, 0.8881635766377292, 0.608129646021768], atol=1e-12)
    assert (low_discrepancy(9, 3, 118)[:4] == points).all()
    # Every third of a coordinate is visited before one is visited much more often.
    counts = np.histogram(low_discrepancy(48, 5, 118), bins=3, range=(0, 1))[0]
    assert counts.min() > 70 and counts.sum() == 240


def test_some_methods_are_run_in_some_universes_and_the_reference_with_more_seeds(campaign):
    layout = campaign()
    cells = [cell for cell in layout.cells() if cell.labels == 50]
    assert {cell.method for cell in cells if cell.method.startswith("lautum")} == {"lautum-u00", "lautum-u04"}
    assert {cell.seed for cell in cells if cell.method.startswith("lautum")} == {4, 5}
    assert {cell.seed for cell in cells if cell.method == "standard-u03"} == {4, 5, 7}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transfer": {"labelled_epochs": 30}}, "method standard-u00: transfer.labelled_epochs: .* set transfer.steps"),
        (
            {"methods": {"lautum": {"transfer": {"steps": 90}}}},
            r"transfer.steps must be the same for all methods .*, got \d+ \(standard-u00\), 90 \(lautum-u00\)",
        ),
    ],
)
def test_stages_that_are_not_of_one_length_in_steps_are_refused(tmp_path, settings, message):
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "toy", "universes": UNIVERSES}
    values |= {"grid": {"tasks": ["mnist-notmnist-small"], "methods": ["standard", "lautum"], "seeds": [4, 5]}}
    values |= {"comparisons": [["lautum", "standard"]], "tasks": {"mnist-notmnist-small": settings}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(LautumError, match=message):
        config.load(tmp_path / "toy.yaml")
    # The settings of one universe are an ordinary campaign's, whose methods may differ.
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values | {"universes": UNIVERSES | {"only": 0}}))
    assert config.load(tmp_path / "toy.yaml").universes is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"count": 0}, "universes.count"),
        ({"count": 10_000}, "universes.count"),
        (
            {"nearness": NEAR | {"method": "lautum"}},
            r"universes.nearness.method: Input should be 'standard', got 'lautum'",
        ),
        ({"only": 6}, "only must be one of the universes, 0 to 5, got 6"),
        ({"only": "nearest"}, "universes.only"),
        ({"every": {"lautm": 2}}, "unknown method in universes.every 'lautm'; did you mean 'lautum'"),
        ({"factors": {"rate": RATE | {"source": "x"}}}, "source 'x' must begin with one of"),
        ({"factors": {"rate": RATE | {"low": 0.0}}}, "low must be below high above 0"),
        (
            {"factors": {"length": STEPS | {"low": 3.5}}},
            "universes.factors.length, method standard: Input should be a valid integer, got 3.5",
        ),
        ({"factors": {"rate": RATE | {"levels": {"a": {}, "b": {}}}}}, "either levels, or a setting"),
        ({"factors": {"rate": {key: RATE[key] for key in ("stage", "source")}}}, "either levels, or a setting"),
        ({"factors": {"head": HEAD | {"levels": {"kept": {}}}}}, "levels must be at least 2"),
        ({"factors": {"head": HEAD | {"levels": {"a": {}, "b": {}}}}}, "levels must set something, got"),
        ({"factors": {"rate": RATE | {"methods": []}}}, "factors.rate: methods must be some, or left out"),
        ({"factors": {"budget": RATE}}, "a factor must not be called budget"),
        ({"factors": {"rate": RATE | {"stage": "transfer", "setting": "steps"}}}, "steps is no choice"),
        ({"nearness": NEAR | {"seeds": [4]}}, r"further seeds \[4\] must be distinct, and others than the task's"),
        ({"factors": {"rate": RATE, "again": RATE}}, "factors again and rate both set pretrain.learning_rate"),
        (
            {"factors": {"lambda": WEIGHT, "strength": {key: WEIGHT[key] for key in WEIGHT if key != "methods"}}},
            "factors lambda and strength both set pretrain.weight",
        ),
        (
            {"factors": {"a": {key: WEIGHT[key] for key in WEIGHT if key != "methods"}, "lambda": WEIGHT}},
            "factors a and lambda both set pretrain.weight",
        ),
        (
            {"factors": {"head": HEAD | {"levels": {"kept": {}, "fresh": {"head": "renew"}}}}},
            "universes.factors.head, method standard: Input should be 'keep' or 'reinitialise', got renew",
        ),
        (
            {"factors": {"head": HEAD | {"levels": {"kept": {}, "fresh": {"hed": "keep"}}}}},
            "universes.factors.head: no method of the grid has the setting 'hed'; did you mean 'head'",
        ),
        (
            {"factors": {"lambda": WEIGHT | {"setting": "wait"}}},
            "universes.factors.lambda, method lautum: unknown hyper-parameter 'wait' of lautum; did you mean 'weight'",
        ),
        ({"factors": {"rate": RATE | {"methods": ["mk_mmd"]}}}, "unknown method in universes.factors.rate.methods"),
        ({"factors": {"rate": RATE | {"high": 1e-3, "lo": 1}}}, "lo"),
    ],
)
def test_what_is_no_space_is_refused_by_name(campaign, changed, message):
    with pytest.raises(LautumError, match=message):
        campaign(**changed)


def test_the_declared_campaign_is_what_its_comments_say():
    layout = Layout(config.load(ROOT / "config/universes-mnist.yaml"))
    universes = layout.config.universes
    assert (universes.count, universes.crossed) == (48, 3)
    before = [name for name, factor in universes.factors.items() if factor.stage == "pretrain"]
    worst = []
    for seed in range(1000):
        correlations = np.corrcoef(low_discrepancy(16, len(before), seed).T)
        worst.append(np.abs(correlations - np.eye(len(before))).max())
    assert int(np.argmin(worst)) == universes.sample and round(min(worst), 2) == 0.31


def test_a_choice_that_neither_method_of_the_claim_has_decides_nothing(tmp_path):
    """Also one that does not say of which methods it is."""
    decay = {"stage": "transfer", "setting": "ensemble_decay", "low": 0.1, "high": 0.9, "source": "chosen: x"}
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "toy", "comparisons": [[*CLAIM]]}
    values |= {"grid": {"tasks": ["digits-letters"], "methods": [*CLAIM, "temporal_ensembling"], "seeds": [4, 5]}}
    values |= {"universes": UNIVERSES | {"factors": FACTORS | {"ensemble decay": decay}}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    design = config.load(tmp_path / "toy.yaml").universes
    assert design.factors["ensemble decay"].methods == ("temporal_ensembling",)
    assert {*design.of_claim()} == {*FACTORS}


def test_a_smaller_campaign_takes_away_what_its_methods_do_not_have(tmp_path):
    design = {"every": {"temporal_ensembling": None, "lautum_shuffled": None}}
    kept = {"extends": str(ROOT / "config/universes-mnist.yaml"), "name": "smaller"}
    kept |= {"grid": {"methods": [*CLAIM]}, "comparisons": [[*CLAIM]]}
    whole = config.load(ROOT / "config/universes-mnist.yaml").universes
    alien = {name: None for name, factor in whole.factors.items() if not {*factor.methods} & {*CLAIM}}
    limited = {name: {"methods": [*CLAIM]} for name, factor in whole.factors.items() if {*CLAIM} <= {*factor.methods}}
    limited |= {name: {"methods": ["lautum"]} for name in whole.factors if name not in alien | limited}
    (tmp_path / "smaller.yaml").write_text(yaml.safe_dump(kept | {"universes": design | {"factors": alien | limited}}))
    found = config.load(tmp_path / "smaller.yaml").universes
    assert alien and [*found.factors] == [name for name in whole.factors if name not in alien] and found.every == {}


@pytest.fixture
def declared(tmp_path, monkeypatch) -> Layout:
    """The declared campaign with a table of made-up runs: Lautum helps where the head is kept, by 5 points."""
    monkeypatch.chdir(tmp_path)
    text = {"extends": str(ROOT / "config/universes-mnist.yaml"), "name": "declared", "universes": {"count": 24}}
    Path("declared.yaml").write_text(yaml.safe_dump(text))
    layout = Layout(config.load("declared.yaml"))
    rng, rows = np.random.default_rng(0), []
    heads = [levels["head"] for levels in layout.config.universes.levels()]
    for cell in layout.cells():
        method = layout.config.methods[cell.method]
        seed = np.random.default_rng(1000 * cell.seed + cell.labels)
        ahead = 0.05 * (method.arm == "lautum" and heads[method.universe] == "kept")
        accuracy = 0.5 + cell.labels / 1000 + seed.normal(0, 0.02) + ahead
        counts = {
            f"after_{steps}": round(10_000 * (accuracy - 0.1 + steps / 10_000 + rng.normal(0, 0.005)))
            for steps in (25, 50, 100, 200, 400)
        }
        row = [cell.task, method.arm, method.universe, cell.labels, cell.seed]
        row += [layout.settings_key(cell.task, cell.method, cell.labels), f"{cell.labels}-{cell.seed}", 10_000]
        row += [round(10_000 * accuracy), "0123", 0.9 - ahead, 4 - 40 * ahead, 0.5, 20.0, 30.0, "cpu", "x", "2", "abc"]
        values = dict(zip(universes.COLUMNS, row, strict=True))
        rows.append(values if method.arm == "temporal_ensembling" else values | counts)
    layout.report.mkdir(parents=True)
    pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64")).to_csv(layout.report / universes.FILE, index=False)
    return layout


def test_what_names_an_axis_or_a_panel_fits(declared):
    """It lies in the figure, is no longer than the axis, and does not run into another's."""
    analysis = multiverse.Analysis.of(declared)
    drawn = universes_figures.build_figures(analysis, universes.figure_names(declared.config))
    for figure in drawn.values():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        titles = [part for axes in figure.axes for part in axes.get_children() if isinstance(part, Text)]
        texts = [text for text in titles + [axes.yaxis.label for axes in figure.axes] if text.get_text()]
        boxes = [text.get_window_extent(renderer) for text in texts]
        assert not any(box.overlaps(other) for number, box in enumerate(boxes) for other in boxes[:number])
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        for axes in figure.axes:
            assert axes.yaxis.label.get_window_extent(renderer).height <= axes.get_window_extent(renderer).height
    names = [paper.comparison_name(*pair) for pair in analysis.comparisons if pair != CLAIM]
    assert [axes.get_title(loc="left") for axes in drawn["others"].axes] == names
    assert {axes.get_ylabel() for axes in drawn["others"].axes} == {"Difference (points)"}
    assert drawn["curve"].axes[0].get_title(loc="left") == "Lautum − Standard"


def test_the_page_says_what_the_table_says(declared):
    path = universes_page.write_all(declared, "declared.yaml")
    html = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 1_500_000
    pictures = {picture.stem for picture in declared.report.glob("*.png")}
    assert pictures == set(universes.figure_names(declared.config))
    analysis = multiverse.Analysis.of(declared)
    assert analysis.count == 24 and analysis.budgets == [25, 50, 100, 200, 400, 1000]
    first, level, reason = analysis.sentences()
    assert "Whether the claim holds depends on the setting" in first and " is the head (" in first
    assert "No universe brings Standard near" in level or "Where Standard is as accurate" in level
    assert "target’s images" in reason
    for sentence in (first, level, reason):
        assert sentence in html
    # The share of settings ahead, counted again from the file alone.
    table = pd.read_csv(declared.report / universes.FILE)
    ahead = of = 0
    for _, some in table[table["seed"] < 203].groupby(["universe", "labels"]):
        wide = some.set_index(["arm", "seed"])
        for column in ("correct", *(f"after_{steps}" for steps in (25, 50, 100, 200, 400))):
            lead = (wide.loc["lautum", column] - wide.loc["standard", column]).to_numpy(float)
            of += 1
            # Of three equal differences nothing is said.
            error = lead.std(ddof=1) / np.sqrt(3)
            ahead += error > 1e-12 and lead.mean() - stats.t.ppf(0.975, 2) * error > 0
    shares = pd.read_csv(declared.report / "shares.csv").set_index("settings")
    assert (shares.loc["all", "n"], shares.loc["all", "ahead"]) == (of, pytest.approx(ahead / of))
    assert f"in {ahead / of:.0%} of {of} specifications" in first
    gains = pd.read_csv(declared.report / "gains.csv")
    assert set(zip(gains["method"], gains["baseline"], strict=True)) == set(analysis.comparisons)
    assert "<dt>TE (temporal_ensembling)</dt>" in html
    # All of the page's figures, computed a second time by other code.
    recompute_agrees(other_code(declared), declared.report, html)
    # A mark's shape says on which side of the paper's figures Standard is.
    (axes,) = universes_figures.distance_figure(analysis).axes
    above, below = other_code(declared).sides()
    assert {marks.get_label(): len(marks.get_offsets()) for marks in axes.collections} == {
        "Standard above the paper": above,
        "below": below,
        "above and below": 24 * 6 - above - below,
    }
    assert len({marks.get_paths()[0].vertices.tobytes() for marks in axes.collections}) == 3
    te = gains.query("method == 'temporal_ensembling' and baseline == 'standard'")
    assert set(te["budget"]) == {1000} and set(te["universe"]) == set(range(0, 24, 4))
    assert collected.summary(declared.report) == {
        "Campaign": "declared",
        "Part": "test",
        "Tasks": "mnist-notmnist-small",
        "Methods": 7,
        "Seeds": "200–205",
        "Runs": len(table),
        "Code": "abc",
    }


def other_code(declared: Layout) -> recompute_universes.Universes:
    own = declared.config.universes.model_dump()
    arms = list(dict.fromkeys(method.arm for method in map(declared.config.methods.get, declared.config.grid.methods)))
    path = declared.report / universes.FILE
    return recompute_universes.Universes(path, "mnist", own, list(declared.config.grid.seeds), arms, 1000)


def recompute_agrees(again: recompute_universes.Universes, report: Path, page: str) -> None:
    """Sentences of the page, and the tables beside it, are those of other code on universes.csv alone."""
    for sentence in again.sentences():
        assert sentence in page
    shares = pd.read_csv(report / "shares.csv").set_index("settings")
    near = again.near()
    transfer = again.differences("standard", "target_only")
    helps = {key for key, some in transfer.items() if recompute_tables.interval([*some.values()])[0] > 0}
    for name, keep in (
        ("all", None),
        ("near the paper", lambda key: key[:2] in near),
        ("where transfer helps", lambda key: key in helps),
    ):
        if name in shares.index:
            expected = shares.loc[name, ["n", "ahead", "behind"]].tolist()
            assert again.shares(keep) == pytest.approx(expected, rel=1e-5, nan_ok=True), name
    for side, found in zip(("ahead", "behind"), again.share_intervals(), strict=True):
        drawn = 100 * shares.loc["all", [f"{side}_low", f"{side}_high"]].to_numpy(float)
        assert drawn == pytest.approx(found, abs=3, nan_ok=True), side  # draws are random, and take few values
    average = pd.read_csv(report / "average.csv")
    average = average.set_index(["method", "baseline"]).loc[CLAIM].set_index(["budget", "labels"])
    for key, row in again.average().items():
        assert 100 * average.loc[key, "gain"] == pytest.approx(row["gain"], abs=1e-3)
        assert 100 * average.loc[key, "low"] == pytest.approx(row["low"], abs=1e-3)
        for name, column in (("1 point", "1 point"), ("2 points", "2 points"), ("half", "half of the paper's gain")):
            if name in row:
                assert average.loc[key, f"within {column}, p"] == pytest.approx(row[name], rel=1e-4, abs=1e-12)
    table = pd.read_csv(report / "distances.csv").set_index(["universe", "budget"])
    distances = {key: 100 * distance for key, distance in table["distance"].items()}
    assert distances == pytest.approx(again.distances(), abs=1e-3)
    assert table["above"].to_dict() == {key: (off > 0).sum() for key, off in again.off().items()}


def test_every_committed_campaign_says_what_other_code_finds_in_its_runs():
    for path in committed.reports("universes-*/universes.csv"):
        page = (path.parent / "index.html").read_text(encoding="utf-8")
        recompute_agrees(recompute.declared(path), path.parent, page)


@pytest.mark.parametrize("finished", [3, 6, 18])
def test_the_page_of_a_beginning_has_no_hole(finished, declared):
    """Of one way of pre-training nothing has an interval; what is not known is not written as a number."""
    path = declared.report / universes.FILE
    table = pd.read_csv(path)
    table[table["universe"] < finished].to_csv(path, index=False)
    html = universes_page.write_all(declared, "declared.yaml").read_text(encoding="utf-8")
    assert f"{finished} of 24 declared universes" in html
    pages.Page(html).require_accessible()


@pytest.mark.parametrize("correct", [400, 410, 430])  # whose mean differences round to different sides
def test_where_the_lead_is_the_same_everywhere_no_share_is_written(small, correct):
    layout = small(count=6)
    made_of(layout)
    universes.collect(layout)
    table = universes.read(layout).drop(columns=["after_15", "after_30"])
    table.loc[table["arm"] == "lautum", "correct"] = correct
    analysis = multiverse.Analysis(layout.config.universes, [CLAIM], {}, universes.long(layout, table), table, [])
    assert analysis.decomposition["share"].isna().all()
    assert analysis._decides() == "What is finished does not tell which choice decides."


def test_methods_without_a_common_universe_are_not_compared_yet(small):
    small()
    values = yaml.safe_load(Path("small.yaml").read_text())
    values |= {"comparisons": [[*CLAIM], ["lautum_source", "target_only"]]}
    values |= {"universes": {"count": 8, "every": {"lautum_source": 4, "target_only": 6}}}
    Path("small.yaml").write_text(yaml.safe_dump(values))
    layout = Layout(config.load("small.yaml"))
    made_of(layout)
    path = universes.collect(layout).path
    assert multiverse.Analysis.of(layout).comparisons == [CLAIM, ("lautum_source", "target_only")]
    table = pd.read_csv(path, dtype={"commit": str})
    table[table["universe"] > 1].to_csv(path, index=False)  # a run diverged in the first block
    path.with_name("SHA256SUMS").unlink()
    assert multiverse.Analysis.of(layout).comparisons == [CLAIM]
    pages.Page(universes_page.write_all(layout, "small.yaml").read_text(encoding="utf-8")).require_accessible()


def test_a_universe_with_a_missing_run_is_left_out_and_said(declared):
    path = declared.report / universes.FILE
    table = pd.read_csv(path)
    table.drop(table.query("universe == 11 & arm == 'lautum' & seed == 201 & labels == 50").index).to_csv(
        path, index=False
    )
    assert multiverse.Analysis.of(declared).count == 21
    assert universes_page.notices(multiverse.Analysis.of(declared)) == [
        "21 of 24 declared universes, with 6 budgets each, are finished; of the rest nothing is shown."
    ]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("settings", "other", "made with other settings"),
        ("data", "other", "made from different data"),
        (
            "device",
            "other",
            "of universe 0, 50 labels, seed 200 runs are of .* and of other, so they cannot be compared",
        ),
    ],
)
def test_runs_of_something_else_are_refused(column, value, message, declared):
    path = declared.report / universes.FILE
    table = pd.read_csv(path)
    table.loc[table["arm"] == "lautum", column] = value
    table.to_csv(path, index=False)
    with pytest.raises(LautumError, match=message):
        universes.read(declared)


def test_what_is_no_campaign_over_universes_is_refused(tmp_path):
    base = {"extends": str(ROOT / "config/config.yaml"), "name": "toy", "universes": UNIVERSES}
    grid = {"tasks": ["digits-letters"], "methods": ["standard", "lautum"], "seeds": [4]}
    for changed, message in (
        ({"comparisons": [["standard", "lautum"]], "grid": grid}, r"must hold \[lautum, standard\]"),
        ({"grid": grid | {"tasks": ["digits-letters", "mnist-notmnist"]}}, "has one task, got digits-letters, mnist"),
        (
            {"grid": grid, "search": {"trials": 4}},
            "search and universes are two designs, .* has one of them; remove the",
        ),
        (
            {"grid": grid, "tasks": {"digits-letters": {"methods": {"lautum": {"more_seeds": [7]}}}}},
            "tasks.digits-letters.methods.lautum.more_seeds: universes are compared in grid.seeds, .*; remove it",
        ),
    ):
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(base | changed))
        with pytest.raises(LautumError, match=message):
            config.load(tmp_path / "toy.yaml")


def made_of(layout: Layout, correct: int = 600, seconds: float = 1.0) -> None:
    """A record of every cell of a campaign, without training."""
    stage = {"seconds": seconds, "images_per_second": 1.0, "resumed_at": [], "steps": 2, "peak_memory_mb": 1.0}
    stage |= {"device": "cpu", "accuracy": 0.5, "logit_scale": 2.0, "curve": {"step": [1], "clipped_share": [0.25]}}
    for cell in layout.cells():
        wanted = getattr(layout.config.transfer_settings(cell.task, cell.method), "snapshots", ())
        labels = np.arange(1000) % 10
        arrays = {"labels": labels.astype(np.uint8)}
        counts = {"predictions": correct} | {f"step{steps}": 10 * steps for steps in wanted}
        for name, right in counts.items():
            arrays[name] = np.where(np.arange(1000) < right, labels, (labels + 1) % 10).astype(np.uint8)
        classes = Predictions(classes=list("ABCDEFGHIJ"))
        write_arrays(layout.record(cell).with_suffix(".safetensors"), arrays, classes.model_dump())
        key = layout.transfer_key(cell.task, cell.method, cell.labels)
        record = RunRecord(
            **vars(cell),
            **{name: f"{cell.labels} {cell.seed}" for name in IN_COMMON if name.endswith("_sha256")},
            source="digits",
            target="letters",
            pretrain_objective="source_only",
            transfer_objective="supervised",
            key=layout.record_key(cell.task, cell.method, cell.labels),
            settings=layout.settings_key(cell.task, cell.method, cell.labels),
            part="test",
            accuracy=correct / 1000,
            n_images=1000,
            correct=correct,
            network_sha256="weights",
            predictions_sha256=sha256_of_arrays(arrays["predictions"]),
            snapshots=[
                Snapshot(steps=n, correct=10 * n, predictions_sha256=sha256_of_arrays(arrays[f"step{n}"]))
                for n in wanted
            ],
            pretrain=stage | {"key": key, "seed": cell.seed},
            transfer=stage | {"key": key, "seed": cell.seed},
            evaluate={"seconds": 1.0, "peak_memory_mb": 1.0},
            environment={"device": "cpu", "cpu": "x", "cores": 2, "threads": 1, "python": "3", "torch": "2"}
            | {"lautum": "0", "commit": "abc"},
        )
        schema.write(layout.record(cell), record)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The example of the suite, with other universes, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make(**changed) -> Layout:
        text = {"extends": str(ROOT / "config/quickstart-universes.yaml"), "name": "small", "universes": changed}
        Path("small.yaml").write_text(yaml.safe_dump(text))
        return Layout(config.load("small.yaml"))

    return make


def test_collected_runs_stay_until_they_are_dropped(small):
    layout = small(count=4)
    made_of(layout)
    done = universes.collect(layout)
    assert (len(done.kept), done.dropped, done.missing) == (0, [], [])
    table = universes.read(layout)
    assert len(table) == len(layout.cells()) and set(table["after_15"]) == {150} and set(table["after_30"]) == {300}
    assert set(table["clipped_share"]) == {0.25} and set(table["logit_scale"]) == {2.0}
    long = universes.long(layout, table)
    assert sorted(long["budget"].unique()) == [15, 30, 60] and long["accuracy"].max() == 0.6
    before = done.path.read_bytes()
    shutil.rmtree("results")
    with pytest.raises(LautumError, match="nothing to collect"):
        universes.collect(layout, drop=True)
    assert universes.collect(layout).path.read_bytes() == before
    # Fewer universes in the grid, and nothing in the results folder: all stay.
    fewer = small(count=2)
    assert len(universes.collect(fewer).kept) == len(table) and len(universes.read(fewer)) == len(table) / 2
    made_of(fewer)
    done = universes.collect(fewer, drop=True)
    assert len(done.dropped) == len(table) / 2 and len(pd.read_csv(done.path)) == len(table) / 2


def test_what_a_damaged_table_alone_had_is_not_lost(small, capsys):
    layout = small(count=2)
    made_of(layout)
    path = universes.collect(layout).path
    path.write_bytes(path.read_bytes() + b"garbage")
    damaged, lost = path.read_bytes(), layout.record(layout.cells()[0])
    lost.unlink()
    with pytest.raises(LautumError, match="restore it, or leave out what only it has with `lautum collect --drop`"):
        universes.collect(layout)
    assert path.read_bytes() == damaged
    assert universes.collect(layout, drop=True).missing == [layout.cells()[0]]
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.read_bytes() == damaged
    assert "(it is now universes.csv.damaged)" in capsys.readouterr().err
    # Without anything to put in its place it stays.
    aside.replace(path)
    shutil.rmtree("results")
    with pytest.raises(LautumError, match="nothing to collect"):
        universes.collect(layout, drop=True)
    assert path.read_bytes() == damaged


def test_runs_with_other_settings_or_data_do_not_enter_the_table(small):
    layout = small(count=2)
    made_of(layout)
    path = universes.collect(layout).path
    before = path.read_bytes()
    other = small(count=2, sample=0)
    with pytest.raises(LautumError, match="made with other settings; .* --drop"):
        universes.collect(other)
    assert path.read_bytes() == before
    made_of(other)
    assert universes.collect(other).kept == []  # all were run anew
    path.write_bytes(path.read_bytes().replace(b",600,", b",601,", 1))
    with pytest.raises(LautumError, match="SHA256SUMS has another hash"):
        universes.read(other)


@pytest.mark.parametrize(
    ("column", "value"),
    [("universe", 1.5), ("after_15", "many"), ("after_15", 5000), ("seed", -1), ("correct", 5000), ("correct", -1)],
)
def test_values_that_no_run_has_are_refused(column, value, small):
    layout = small(count=2)
    made_of(layout)
    path = universes.collect(layout).path
    table = pd.read_csv(path).astype(object)
    table.loc[3, column] = value
    (path.parent / "SHA256SUMS").unlink()
    table.to_csv(path, index=False)
    if column == "seed":
        assert len(universes.read(layout)) == len(table) - 1  # of no run of the grid
        return
    with pytest.raises(LautumError, match=column):
        universes.read(layout)


def test_a_run_that_is_there_twice_is_refused(small):
    layout = small(count=2)
    made_of(layout)
    path = universes.collect(layout).path
    (path.parent / "SHA256SUMS").unlink()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[1], ""]))
    with pytest.raises(LautumError, match=f"line {len(lines)}: this run is there before"):
        universes.read(layout)


def test_commands_for_other_campaigns_say_what_to_do(small):
    layout = small(count=2)
    made_of(layout)
    universes.collect(layout)
    with pytest.raises(LautumError, match="campaign over universes: `lautum report`"):
        campaigns.read(layout)
    with pytest.raises(LautumError, match="campaign over universes: its runs are in universes.csv"):
        lautum.load(layout.report)


@pytest.mark.parametrize(("name", "number"), [("mnist", 9), ("cifar", 8)])
def test_one_universe_as_an_ordinary_campaign_has_all_of_its_settings(tmp_path, monkeypatch, name, number):
    monkeypatch.chdir(tmp_path)
    source = ROOT / f"config/universes-{name}.yaml"
    methods = ["standard", "mk_mmd", "lautum", "lautum_source", "target_only"]
    text = {"extends": str(source), "name": "alone", "grid": {"methods": methods}, "universes": {"only": number}}
    Path("alone.yaml").write_text(yaml.safe_dump(text))
    alone, many = (Layout(config.load(path)) for path in ("alone.yaml", source))
    assert alone.config.universes is None and alone.config.grid.methods == tuple(methods)
    (task,) = alone.config.grid.tasks
    for method in methods:
        universe = f"{method}-u{number:02d}"
        assert alone.config.pretrain_settings(task, method) == many.config.pretrain_settings(task, universe)
        assert alone.config.transfer_settings(task, method) == many.config.transfer_settings(task, universe)
        # The same keys mean the same files: what the many have run is not run again.
        for labels in alone.config.tasks[task].label_counts:
            assert alone.settings_key(task, method, labels) == many.settings_key(task, universe, labels)
        assert alone.config.seeds(task) == (200, 201, 202) and len(alone.cells()) == 5 * 3 * 3
    sources = {row["source"] for row in config.hyper_parameters("alone.yaml") if row["name"] == "learning_rate"}
    assert len(sources) == 2 and all(text.startswith(f"chosen: universe {number}, ") for text in sources)


def test_one_universe_has_also_the_methods_that_are_not_run_in_all(small):
    layout = small(count=6, every={"lautum": 4}, only=3)
    assert "lautum-u03" not in small(count=6, every={"lautum": 4}).config.methods
    assert layout.config.pretrain_settings("digits-letters", "lautum").steps == pytest.approx(
        layout.config.pretrain_settings("digits-letters", "standard").steps
    )


# Of each task, how many universes the rule picks among: docs/universes.md, "The confirmation".
@pytest.mark.parametrize(
    ("task", "first", "full", "names"),
    [
        ("mnist", 24, "mnist-notmnist-small", ("nearest", "largest")),
        ("mnist", 48, "mnist-notmnist-small", ("largest-of-48",)),
        ("cifar", 14, "cifar10-cifar100", ("nearest", "largest")),
    ],
)
def test_a_confirmation_is_of_the_universe_that_the_rule_picks(task, first, full, names):
    again = recompute.declared(ROOT / f"reports/universes-{task}/universes.csv")
    distances = {key: distance for key, distance in again.distances().items() if key[0] < first}
    leads = {
        (universe, steps): lead
        for steps in again.budgets
        for universe, lead in again.by_universe("lautum", steps).items()
        if universe < first
    }
    for name in names:
        picked = min(distances, key=distances.__getitem__) if name == "nearest" else max(leads, key=leads.__getitem__)
        path = ROOT / f"config/{name}-{task}.yaml"
        steps = config.load(path).transfer_settings(full, "lautum").steps
        assert (yaml.safe_load(path.read_text(encoding="utf-8"))["universes"]["only"], steps) == picked
        number = f"{distances[picked]:.1f} points away" if name == "nearest" else f"by {leads[picked]:.1f} points"
        assert f"Universe {picked[0]} after {steps} steps, {number}, of the {first}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["universes-mnist", "universes-cifar"])
def test_the_graph_asks_for_every_figure_that_a_report_on_universes_has(name):
    pictures = {picture.stem for picture in (ROOT / "reports" / name).glob("*.png")}
    assert pictures == set(universes.figure_names(config.load(ROOT / f"config/{name}.yaml")))


def test_a_factor_of_another_method_has_no_map(small):
    layout = small(count=2)
    assert universes.figure_names(layout.config) == ["curve", "levels", "mechanism", "others", "map-optimiser-budget"]
    factors = yaml.safe_load((ROOT / "config/quickstart-universes.yaml").read_text(encoding="utf-8"))["universes"][
        "factors"
    ]
    factors["optimiser"]["methods"] = ["target_only"]
    assert "map-optimiser-budget" not in universes.figure_names(small(count=2, factors=factors).config)
