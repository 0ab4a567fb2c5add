"""pytest plugin, loaded with `-p line_recorder`: which tests execute which line, and how long each of them takes.

Coverage's context is the running test or, while it is set up, the fixture that a module or the session shares: what a
shared fixture executes counts for every test that uses it, not just for the first. Lines that run when a module is
imported have no context. The record is JSON, in the file that LINE_RECORD names.
"""

import json
import os
import time
from collections import defaultdict
from pathlib import Path

import coverage
import pytest


def pytest_configure(config):
    config.pluginmanager.register(Recorder(config.rootpath, Path(os.environ["LINE_RECORD"])))


class Recorder:
    """Hooks that tell coverage what is running."""

    def __init__(self, root: Path, path: Path):
        self.root, self.path = root, path
        self.coverage = coverage.Coverage(data_file=None, config_file=False, include=[f"{root}/lautum/*"])
        self.coverage.set_option("run:core", "ctrace")  # sys.monitoring tells of a line once, not once for each context
        self.context, self.began = "", time.perf_counter()
        self.seconds = defaultdict(float)  # of each context
        self.fixtures = set()  # (base, name) of those that are shared
        self.contexts = {}  # of each test: its own and those of its fixtures
        self.coverage.start()

    def switch(self, context: str) -> str:
        """Begin `context`; the one before it is returned."""
        now = time.perf_counter()
        self.seconds[self.context] += now - self.began
        before, self.context, self.began = self.context, context, now
        self.coverage.switch_context(context)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.switch(item.nodeid)
        result = yield
        self.switch("")
        shared = [(base, name) for base, name in self.fixtures if item.nodeid.startswith(base)]
        self.contexts[item.nodeid] = [item.nodeid] + [f"{b}::{name}" for b, name in shared if name in item.fixturenames]
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope == "function":
            return (yield)
        self.fixtures.add((fixturedef.baseid, fixturedef.argname))
        before = self.switch(f"{fixturedef.baseid}::{fixturedef.argname}")
        try:
            return (yield)
        finally:
            self.switch(before)

    def pytest_sessionfinish(self):
        self.coverage.stop()
        data = self.coverage.get_data()
        tests = defaultdict(list)
        for test, contexts in self.contexts.items():
            for context in contexts:
                tests[context].append(test)
        lines = {
            Path(path).relative_to(self.root).as_posix(): {
                line: sorted({test for context in contexts for test in tests[context]})
                for line, contexts in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        seconds = {test: sum(self.seconds[name] for name in names) for test, names in self.contexts.items()}
        self.path.write_text(json.dumps({"lines": lines, "seconds": seconds}), encoding="utf-8")
