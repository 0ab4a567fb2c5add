"""What a stage says of itself while it runs."""

import io
import itertools
import sys

import pytest

from lautum.training import progress as module
from lautum.training.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock is four seconds later."""
    moments = itertools.count(0, 4)
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(moments)))


def test_a_log_has_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    with progress("stage", 0, 9) as show:
        for step in range(1, 10):
            show(step, 1 / step)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"stage: step {step}/9" for step in (3, 6, 9)]
    assert lines[0].endswith("loss 0.3333")


def test_a_terminal_has_a_bar_with_the_loss(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("stage", 2, 4) as show:
        show(3, 0.25)
        show(4, 0.125)
    shown = terminal.getvalue()
    assert "stage:  50%" in shown and "4/4" in shown and "loss=0.125" in shown
