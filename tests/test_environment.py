"""What a record says of the code that made it: of this checkout and of no other."""

import subprocess
from pathlib import Path

import pytest

from lautum.pipeline import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository with the package in it, all of it committed."""
    environment.commit_of.cache_clear()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "suite"
    (folder / "lautum/objectives").mkdir(parents=True)
    (folder / "lautum/a.py").write_text("a = 1\n")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_the_commit_is_that_of_the_checkout(checkout, capsys):
    (checkout / "results").mkdir()
    (checkout / "results/new.json").write_text("{}")  # what runs make is no change of the code
    (checkout / "lautum/__pycache__").mkdir()
    (checkout / "lautum/__pycache__/a.pyc").write_text("")
    assert environment.commit_of(checkout) == git(checkout, "rev-parse", "HEAD")[:12]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.py", "objectives/new.py"])
def test_changed_and_new_code_are_changes(checkout, name):
    git(checkout, "config", "status.showUntrackedFiles", "no")
    (checkout / "lautum" / name).write_text("a = 2\n")
    assert environment.commit_of(checkout) == git(checkout, "rev-parse", "HEAD")[:12] + "+changes"


def test_another_repository_in_the_environment_is_not_asked(checkout, tmp_path, monkeypatch):
    own, other = git(checkout, "rev-parse", "HEAD")[:12], tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert environment.commit_of(checkout) == own


def test_an_enclosing_repository_is_not_asked(checkout, capsys):
    inner = checkout / "unpacked"
    (inner / "lautum").mkdir(parents=True)
    assert environment.commit_of(inner) == environment.commit_of(inner) == "unknown"
    said = capsys.readouterr().err
    assert said == f"records will not name the commit of {inner}: the checkout there is that of {checkout}\n"


def test_what_git_says_is_said_once(tmp_path, monkeypatch, capsys, checkout):
    folder = tmp_path / "plain"
    folder.mkdir()
    assert environment.commit_of(folder) == environment.commit_of(folder) == "unknown"
    assert capsys.readouterr().err.count("records will not name") == 1
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    assert environment.commit_of(checkout) == "unknown"
    assert f"of {checkout}: fatal: detected dubious ownership\n" in capsys.readouterr().err
    fake.unlink()
    environment.commit_of.cache_clear()
    assert environment.commit_of(checkout) == "unknown"  # without git at all
    assert "No such file or directory: 'git'" in capsys.readouterr().err
