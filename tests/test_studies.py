"""The programs behind `make coverage` and `make bench`: what they simulate and measure is what they say."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lautum import information, mmd
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.files import write_text
from lautum.pipeline import processor
from lautum.studies import bench, bench_page, coverage, overhead, peers, verdict_rates

ROOT = Path(__file__).parent.parent


def test_simulated_coverage_is_that_of_the_intervals():
    rows = {row[0]: row for row in coverage.over_seeds(5, 400)}
    assert {row[2:4] for row in rows.values()} == {(5, 400)}
    for name in ("t", "prediction of one run"):
        rate, error = rows[f"coverage, {name}"][4:]
        assert abs(rate - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400) and error == pytest.approx(
            (rate * (1 - rate) / 400) ** 0.5
        )
    assert rows["coverage, BCa, as published"][4] < rows["coverage, BCa, expanded"][4]


def test_models_have_the_truth_that_coverage_is_counted_against():
    rng = np.random.default_rng(0)
    many = [coverage.nominal(200, rng).mean() for _ in range(20)]
    assert np.mean(many) == pytest.approx(coverage.TRUTH, abs=4 * np.std(many) / 20**0.5)
    many = [coverage.binary(200, rng).mean() for _ in range(20)]
    assert np.mean(many) == pytest.approx(coverage.binary_truth(), abs=4 * np.std(many) / 20**0.5)
    scores = coverage.nominal(10, rng)
    interval = coverage.pigeonhole(scores, rng)
    assert interval.low < scores.mean() < interval.high


def test_an_interval_blind_to_images_covers_less_than_one_that_is_not():
    rows = {row[:2]: row[4] for row in coverage.over_images(10, 60)}
    for model in ("nominal", "binary"):
        assert rows["coverage, t, blind to images", model] < 0.87 < rows["coverage, seeds and images", model]


def test_verdicts_are_counted_both_ways():
    rates = {row[0]: row[4] for row in coverage.verdicts(10, 200)}
    assert rates["verdict, true size differs"] < 0.12
    assert rates["verdict, order of equal methods resolved"] < 0.12
    assert rates["verdict, true order contradicted"] < 0.05
    assert rates["verdict, size 6 sd off does not differ"] < 0.05


def test_verdicts_on_universes_err_as_seldom_as_they_say():
    rates = {row[0].removeprefix("universes, "): row[4] for row in coverage.over_universes(3, 20)}
    # Of 20 experiments at 5 %, more than 5 err with a probability of 0.03 %.
    for name in (
        "joint test rejects equal arms",
        "2 points called within 2 points",
        "average gain outside its interval",
    ):
        assert rates[name] <= 5 / 20, name
    assert 0.005 < rates["ahead though equal, share of settings"] < 0.06
    assert rates["power: joint test, +-2 points"] > 0.8 < rates["power: 0 called within 2 points"]


def test_verdicts_on_families_err_as_seldom_as_they_say():
    """Of 100 experiments at 5 %, more than 13 err with a probability of 0.02 %, of 200 more than 21."""
    for model in ("nominal", "heavy tails"):
        values = verdict_rates.draw(model, np.random.default_rng(0), 100_000)
        assert values.std() == pytest.approx(verdict_rates.SD, rel=0.05)
        rates = {name: count / 100 for name, count in verdict_rates.families(model, 10, 100).items()}
        power = {name: rates.pop(name) for name in list(rates) if name.startswith("power: ")}
        assert len(rates) == 6 and max(rates.values()) < 0.14
        assert power["power: equal called practically zero within 2 points"] > 0.9 < power["power: 2 points found by t"]
    seen = verdict_rates.looks("nominal", 10, 200)
    assert seen["e of 20 at any look, equal methods"] <= 21 < seen["p of t below 0.05 at any look, equal methods"]
    assert verdict_rates.until_narrow(200)["t interval without the truth, seeds added until it is narrow"] <= 30


def test_the_table_of_coverage_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coverage", "--trials", "4"])
    monkeypatch.setattr(coverage, "IMAGES", 20)
    coverage.main()
    table = pd.read_csv(tmp_path / "reports/coverage.csv")
    assert set(table["n"]) == {3, 5, 10, 20} and table["rate"].between(0, 1).all() and set(table["trials"]) == {1, 4}
    assert "coverage, t" in capsys.readouterr().out


def test_peers_compute_what_the_suite_computes():
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(12, 5, generator=generator) for _ in range(2))
    ours = mmd.multi_kernel_mmd(source.double(), target.double())
    assert peers.mmd_by_broadcast(source.double(), target.double()).item() == pytest.approx(ours.item(), rel=1e-9)
    inputs, logits = torch.randn(200, 4, generator=generator), torch.randn(200, 3, generator=generator)
    logits += inputs[:, :3]
    joint = torch.cov(torch.cat([inputs, logits], dim=1).double().T, correction=0)
    ridged = joint[:4, :4] + 0.1 * torch.eye(4, dtype=torch.float64)
    expected = information.lautum_information(ridged, joint[4:, 4:], joint[:4, 4:])
    assert peers.lautum_by_inverses(inputs, logits).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("name", ["lautum", "mk_mmd", "source_only", "two_stream"])
def test_what_is_measured_is_a_training_step(name, monkeypatch):
    monkeypatch.setattr(peers, "IMAGES", 300)
    objective, network, _ = bench.build(name, "MNIST", "conv16-32-fc128")
    assert len(objective.data.labelled.images) == 300
    made = []
    monkeypatch.setattr(bench, "build", lambda *arguments: made.append(bench_build(*arguments)) or made[-1])
    step = bench.stepper(name, "MNIST", "conv16-32-fc128")
    before = made[0][1].head.weight.detach().clone()
    step()
    assert not torch.equal(made[0][1].head.weight, before)


bench_build = bench.build


def test_the_reference_of_the_step_times_adds_nothing_to_the_loss(monkeypatch):
    monkeypatch.setattr(peers, "IMAGES", 300)
    objective, *_ = bench.build("two_stream", "MNIST", "conv16-32-fc128")
    loss, images, scalars = objective.step(0)
    assert loss.item() == scalars["source_cross_entropy"].item() and images == 2 * bench.BATCH


def test_the_script_it_is_compared_with_trains_too(monkeypatch):
    monkeypatch.setattr(peers, "IMAGES", 300)
    peers.loader_stepper("CIFAR", "conv16-32-fc128", threads=1, workers=0)()


def test_ratios_are_summed_up_by_median_and_quartiles_after_a_round_of_warming_up():
    calls = Counter()
    row = bench.ratio("what", lambda: calls.update("a"), lambda: calls.update("b"), rounds=4, steps=3, target="<= 1")
    assert calls == {"a": 15, "b": 15} and row["n"] == 4 and row["target"] == "<= 1"
    row = bench.summary("what", [4.0, 1.0, 2.0, 3.0], "")
    assert (row["median"], row["low"], row["high"]) == (2.5, 1.25, 3.75)


def test_one_off_costs_are_measured():
    row = bench.checkpoint_share(1)
    assert row["n"] == 1 and 0 < row["median"] < 1


def test_the_overhead_of_a_campaign_is_what_is_not_training_and_prediction(tmp_path, monkeypatch):
    def ran(folder, *command):
        """A campaign of two stages of 3 and 4 s and an evaluation of 1 s that took 10 CPU seconds."""
        if command[0] == "snakemake" and not (folder / "results").exists():
            cells = Layout(config.load(folder / "overhead.yaml")).cells()
            layout = Layout(config.load(folder / "overhead.yaml"))
            assert len(cells) == len(layout.networks(cells)) == 6 and len(layout.batches(cells)) == 2
            for name, content in (
                ("pretrained/a/seed0", {"seconds": 3}),
                ("transferred/a/seed0", {"seconds": 4}),
                ("evaluated-test/a/seed0", {"evaluate": {"seconds": 1}}),
            ):
                write_text(folder / "results" / f"{name}.json", json.dumps(content))
        return overhead.Spent(wall=6.0, cpu=10.0, memory=500.0)

    monkeypatch.setattr(overhead, "run", ran)
    first, again = overhead.overhead(2, trials=2, steps=1)
    assert first["size"] == again["size"] == 6 and first["share"] == pytest.approx(0.2)


def test_a_command_that_fails_ends_the_measurement_with_its_output(tmp_path):
    with pytest.raises(SystemExit, match="configuration nowhere.yaml does not exist"):
        overhead.run(tmp_path, "lautum", "collect", "--config", "nowhere.yaml")


def test_a_command_is_measured_with_its_children(tmp_path):
    spent = overhead.run(tmp_path, "sh", "-c", f"{sys.executable} -c 'print(len(b\"1\" * 1_000_000_000))'; true")
    assert spent.output == "1000000000\n"
    assert 1_000_000_000 / 2**20 < spent.memory and 0 < spent.cpu and 0 < spent.wall


def test_a_configuration_is_parsed_in_a_process_of_its_own():
    (row,) = overhead.configuration(1, "quickstart")
    assert row["what"] == "parsing config/quickstart.yaml" and 0 < row["cpu"] and 20 < row["memory"] < 2000


def test_a_finished_campaign_of_empty_files_is_complete(monkeypatch):
    left = {}

    def ran(folder, *command):
        layout = Layout(config.load(folder / "overhead.yaml"))
        left["records"] = [(folder / layout.record(cell)).exists() for cell in layout.cells()]
        receipts = [batch.receipt for batch in layout.batches(layout.cells())]
        receipts += map(layout.receipt, layout.networks(layout.cells()))
        left["receipts"] = [(folder / path).exists() for path in receipts]
        assert (folder / command[-1]).exists()
        return overhead.Spent(wall=1.0, cpu=1.0, memory=1.0, output=output)

    monkeypatch.setattr(overhead, "run", ran)
    output = "Nothing to be done"
    (row,) = overhead.finished(2)
    assert len(left["records"]) == 48 and all(left["records"]) and all(left["receipts"])
    # 4 data sets, 12 splits, 28 pre-trainings, as many jobs of cells, and what collects.
    assert row["size"] == 4 + 12 + 28 + 28 + 1
    output = "1 of 1 steps (100%) done"
    with pytest.raises(SystemExit, match="was not found finished"):
        overhead.finished(1)


def test_the_page_of_the_benchmark_is_the_one_rendered_from_the_measurements(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert bench_page.PAGE.read_text(encoding="utf-8") == bench_page.render()
    table = pd.DataFrame(
        [["dry run", 41, 0, 2.0, 1.5, 130.0, None], ["campaign", 6, 0, 9.0, 8.0, 700.0, 0.09]]
        + [["dry run", 41, 1, 4.0, 2.5, 150.0, None]],
        columns=["what", "size", "repetition", "wall", "cpu", "memory", "share"],
    )
    table.to_csv(tmp_path / "overhead.csv", index=False)
    page = bench_page.render(overhead=tmp_path / "overhead.csv")
    assert page.endswith("| dry run | 41 | 3 | 2 | 140 |  | 2 |\n| campaign | 6 | 9 | 8 | 700 | 0.09 | 1 |\n")


def test_bfloat16_is_left_out_where_the_processor_has_no_instructions_for_it(monkeypatch, capsys):
    monkeypatch.setattr(bench, "has_bfloat16", lambda: False)
    assert {precision for *_, precision in bench.cases()} == {"float32"}
    assert "left out: bfloat16, for which this processor has no instructions" in capsys.readouterr().err
    monkeypatch.setattr(bench, "has_bfloat16", lambda: True)
    assert bench.cases() == list(bench.CASES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16 amx_bf16\n", True),
        ("flags\t\t: fpu sse2 avx2\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("processor\t: 0\n", True),
    ],
)
def test_instructions_for_bfloat16_are_read_off_the_processor(text, expected, monkeypatch):
    monkeypatch.setattr(processor.Path, "read_text", lambda path: text)
    assert processor.has_bfloat16() == expected
    assert ("no bfloat16" in processor.describe()) == (not expected)


def test_a_step_is_measured_against_the_matrix_product(monkeypatch):
    monkeypatch.setattr(peers, "IMAGES", 300)
    monkeypatch.setattr(bench, "CASES", (("MNIST", "conv16-32-fc128", "float32"),))
    (row,) = bench.limit_shares(2)
    assert row["n"] == 2 and 0 < row["low"] <= row["median"] <= row["high"]
