import shutil
from itertools import islice
from pathlib import Path

import mutants
from mutant_sites import Mutant
from mutant_sites import mutants as make

MODULE = '''"""A module: with 1 < 2 in its docstring."""

__all__ = ["larger"]
LIMIT = 10


def larger(a: "int > 0", b) -> "int < 9":
    """The larger one."""
    if a < 0:
        raise ValueError("1 < 2" + str(a < b))
    print("comparing", a < b)
    if a < b:
        return b
    return a


def twice(a):
    return sum(
        [
            a,
            a,
        ],
    )


def unused():
    return LIMIT
'''
TESTS = """
import pytest
from lautum.tiny import larger, twice

@pytest.fixture(scope="module")
def two():
    return twice(1)

def test_larger():
    assert larger(1, 2) == 2

def test_negative():
    with pytest.raises(ValueError):
        larger(-1, 2)

def test_two(two):
    assert two == 2

def test_two_again(two):
    assert two + 0 == 2
"""


def test_known_mutants_are_made_and_nothing_else_on_their_lines():
    made = {(mutant.line, mutant.before, mutant.after): mutant for mutant in make({"tiny.py": MODULE}, seed=0)}
    mutant = made[12, "if a < b:", "if a <= b:"]
    assert mutant.text == MODULE.replace("if a < b:", "if a <= b:") and mutant.operator == "swap_op"
    assert (9, "if a < 0:", "if a < 1:") in made
    assert (4, "LIMIT = 10", "LIMIT = 11") in made
    # Docstrings, annotations, __all__, errors and what is printed stay as they are.
    assert {line for line, _, _ in made} == {4, 9, 12, 19}


def test_sample_depends_on_the_seed_alone_and_holds_every_file():
    texts = {f"{number}.py": MODULE for number in range(4)}
    sample = [mutant.key for mutant in islice(make(texts, seed=1), 20)]
    assert sample == [mutant.key for mutant in islice(make(dict(reversed(texts.items())), seed=1), 20)]
    assert sample != [mutant.key for mutant in islice(make(texts, seed=2), 20)]
    assert len(set(sample)) == 20 and {file for file, *_ in sample[:12]} == set(texts)


def test_a_mutant_meets_those_tests_alone_that_execute_its_line(tmp_path):
    copy = tmp_path / "copy"
    for name, text in {"lautum/__init__.py": "", "lautum/tiny.py": MODULE, "tests/test_tiny.py": TESTS}.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    shutil.copy(Path(mutants.__file__).with_name("line_recorder.py"), copy / "tests")
    record = mutants.measure(copy)
    executed, seconds = record["lines"]["lautum/tiny.py"], record["seconds"]
    made = {mutant.line: mutant for mutant in make({"lautum/tiny.py": MODULE}, seed=0)}

    def selected(mutant: Mutant) -> set[str]:
        return {test.partition("::test_")[2] for test in mutants.select(mutant.site, executed, seconds)}

    assert selected(made[9]) == {"larger", "negative"}
    assert selected(made[12]) == {"larger"}
    assert selected(made[19]) == {"two", "two_again"}  # a continuation line, through a shared fixture
    assert selected(made[4]) == {"larger", "negative", "two", "two_again"}  # at import

    tests = mutants.select(made[12].site, executed, seconds)
    assert mutants.attempt(made[12], [], 0, copy) == (mutants.NOT_EXECUTED, "")
    assert mutants.attempt(made[4], tests, 1, copy) == (mutants.SURVIVED, "")
    swapped = made[12]._replace(text=MODULE.replace("if a < b:", "if a > b:"))
    assert mutants.attempt(swapped, tests, 1, copy) == (mutants.KILLED, "tests/test_tiny.py::test_larger")
    assert (copy / "lautum/tiny.py").read_text() == MODULE


def test_summary_lists_survivors_with_and_without_reason():
    fields = {"file": "a.py", "line": "1", "before": "x"}
    outcomes = {"1": "killed", "2": "killed", "3": "survived", "4": "not executed", "5": "time-out"}
    rows = [fields | {"after": after, "outcome": outcome} for after, outcome in outcomes.items()]
    text, share = mutants.summary(rows, {("a.py", "x", "4"): "cannot be seen"})
    assert share == 0.6
    assert text.startswith(
        "survivors with a reason: 1\n  a.py:1 not executed\n    - x\n    + 4\n    cannot be seen\n"
        "survivors without a reason: 1\n  a.py:1 survived\n    - x\n    + 3\n"
    )


def test_core_and_tests_left_out_are_where_they_are_said_to_be():
    pipeline = [pattern for pattern in mutants.CORE if "pipeline" in pattern]
    assert any(any(mutants.ROOT.glob(pattern)) for pattern in pipeline)
    assert all(any(mutants.ROOT.glob(pattern)) for pattern in mutants.CORE if pattern not in pipeline)
    for name in mutants.LEFT_OUT:
        path, _, test = name.partition("::")
        assert f"def {test}" in (mutants.ROOT / path).read_text(encoding="utf-8")
