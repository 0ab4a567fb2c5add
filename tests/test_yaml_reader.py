"""YAML as its version 1.2 has it, and only what a configuration needs of it."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import ConfigSettings

from lautum.cli import main
from lautum.errors import LautumError
from lautum.experiment import yaml_reader

ROOT = Path(__file__).parent.parent


def read(folder: Path, content: str | bytes) -> object:
    path = folder / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return yaml_reader.read(path)


def lists(value):
    """With lists for tuples."""
    if isinstance(value, dict):
        return {key: lists(inner) for key, inner in value.items()}
    return [lists(inner) for inner in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_files_mean_the_same_in_both_versions(path):
    assert lists(yaml_reader.read(path)) == yaml.safe_load(path.read_text(encoding="utf-8"))


NUMBERS_AND_WORDS = {  # YAML 1.2.2, section 10.3.2
    "010": 10,
    "0400": 400,
    "-3": -3,
    "+3": 3,
    "0o17": 15,
    "0xfF": 255,
    "1e-5": 1e-5,
    "1E3": 1000.0,
    ".5": 0.5,
    "-1.": -1.0,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "1e999": math.inf,
    "true": True,
    "FALSE": False,
    "null": None,
    "~": None,
    "": None,
}
# In which version 1.1 or Python see something else.
TEXT = "yes no on off y N tRue 1_000 12:30:00 2001-01-01 << = 0b1 0o8 0xg 1e e5 . +. inf nan 1,5 \u0663 \uff11".split()


@pytest.mark.parametrize(("text", "value"), [*NUMBERS_AND_WORDS.items(), *((text, text) for text in TEXT)])
def test_plain_words(text, value, tmp_path):
    found = read(tmp_path, f"key: {text}\n")["key"]
    assert found == value and type(found) is type(value)


def test_not_a_number(tmp_path):
    assert math.isnan(read(tmp_path, "key: .nan\n")["key"])


def test_quoted_words_are_text_and_keys_are_what_is_written(tmp_path):
    content = "'yes': '1'\nno: \"true\"\n1: |\n  0400\nlist: [[a, 1], {b: }]\n"
    assert read(tmp_path, content) == {"yes": "1", "no": "true", "1": "0400\n", "list": (("a", 1), {"b": None})}
    assert read(tmp_path, "") is None


def test_aliases_repeat_a_value(tmp_path):
    content = "a: &x {b: [1]}\nc: *x\nd: &x 2\ne: *x\n"
    assert read(tmp_path, content) == {"a": {"b": (1,)}, "c": {"b": (1,)}, "d": 2, "e": 2}


def growing(levels: int, times: int) -> str:
    """A file in which every value holds the one before it so many times."""
    lines = [f"a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * times)}]\n" for level in range(levels)]
    return "a0: &a0 [x]\n" + "".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", r"line 2 \(b.c\): the key is repeated"),
        ("a: 1\n'a': 2\n", r"line 2 \(a\): the key is repeated"),
        (growing(9, 10), "more than 100000 values"),
        (growing(900, 1), "more than 20 mappings and lists within each other"),
        ("a: &a [*a]\n", r"line 1 \(a.-\): \*a names nothing that ends before it"),
        ("&a a: &b\n  c: *b\n", "names nothing that ends before it"),
        ("[" * 900 + "]" * 900, "more than 20 mappings and lists within each other"),
        ("[" * 100_000, "maximum nesting depth|more than 20 mappings"),
        ("- " * 100_000, "maximum nesting depth|more than 20 mappings"),
        ("{a: " * 100_000, "maximum nesting depth|more than 20 mappings"),
        ("[" + "1, " * 200_000 + "1]", "more than 100000 values"),
        ("a: " + "1" * 5000, "an integer has at most 18 digits, got 5000"),
        ("a: 0x" + "f" * 5000, "an integer has at most 18 digits"),
        ("#" * 2**20 + "\n", "it has more than 1048576 bytes"),
        ("a: !!int 1\n", "a tag"),
        ("a: !!python/object/apply:os.getcwd []\n", "a tag"),
        ("a: !mine 1\n", "a tag"),
        ("[a]: 1\n", "a key must be text"),
        ("a: 1\n---\nb: 2\n", "a second document begins"),
        ('a: "\\0"\n', "a control character is not allowed"),
        ('a: "\\e[2J"\n', "a control character is not allowed"),
        ('"a\\nb\\0": 1\n', "a control character is not allowed in a key"),
        ("a: \0\n", "control characters are not allowed"),
        (b"a: \xff\n", "codec can't decode"),
        ("a: [1\n", "did not find expected"),
        ("a: *b\n", "names nothing that ends before it"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "bytes",
)
def test_what_is_refused(content, message, tmp_path):
    with pytest.raises(LautumError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


UNREADABLE = {
    "contains itself": "name: &a {x: *a}\n",
    "a long number": f"name: x\nseeds: {'9' * 5000}\n",
    "deep": f"name: {'[' * 900}{']' * 900}\n",
    "bytes": bytes(range(256)),
    "a list": "[a, b]\n",
    "syntax": "name: x\ngrid: {tasks: [a\n",
    "empty": "",
    "missing": None,
}


@pytest.mark.parametrize("kind", [*UNREADABLE, "a folder"])
def test_what_snakemake_cannot_read_ends_its_start_and_the_suite_says_why_in_a_line(kind, tmp_path, capsys):
    """Snakemake reads the file of --configfile before anything of the suite runs, and has words of its own."""
    path = tmp_path / "file.yaml"
    if kind == "a folder":
        path.mkdir()
    elif (content := UNREADABLE[kind]) is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((WorkflowError, OSError, ValueError, RecursionError)):
        ConfigSettings(configfiles=[path])
    assert main(["status", "--config", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"lautum: error: configuration {path} ") and told.count("\n") == 1


def test_a_file_or_target_that_snakemake_takes_for_a_configuration_is_named_last_and_no_job_starts(tmp_path):
    snakemake = [Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    ended = subprocess.run(
        [*snakemake, "--configfile", ROOT / "config/quickstart.yaml", "theorem"], cwd=tmp_path, capture_output=True
    )
    last = ended.stderr.decode().strip().splitlines()[-1]
    assert ended.returncode == 1 and last == "FileNotFoundError: [Errno 2] No such file or directory: 'theorem'"
    assert f"`{last.replace('theorem', 'FILE')}`" in (ROOT / "docs/data.md").read_text()
    assert list(tmp_path.iterdir()) == []
