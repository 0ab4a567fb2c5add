"""A part of `make fuzz`: damaged and falsified files are refused with an error of the suite, or mean the same."""

from pathlib import Path

import fuzz

ROOT = Path(__file__).parent.parent


def test_damaged_and_falsified_files_are_refused_or_mean_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts, failures = fuzz.fuzz(tmp_path, 500, 1)
    assert failures == []
    assert f"falsified files of {len(counts)} kinds" in (ROOT / "docs/design.md").read_text(encoding="utf-8")
    recovers = {"resumed stage", "status"}  # a stage starts anew, an estimate is none
    assert all(outcomes["refused"] > 5 for kind, outcomes in counts.items() if kind not in recovers)
    assert all(counts[kind]["the same"] > 10 for kind in recovers)
