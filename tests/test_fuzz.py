"""A part of `make fuzz`: damaged and falsified files are refused with an error of the suite, or mean the same."""

import fuzz


def test_damaged_and_falsified_files_are_refused_or_mean_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts, failures = fuzz.fuzz(tmp_path, 500, 1)
    assert failures == []
    assert all(outcomes["refused"] > 10 for outcomes in counts.values())
