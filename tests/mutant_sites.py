"""Mutants of Python modules in a seeded random order: the faults of mutmut that a test should notice."""

import os
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

MIN_PER_FILE = 3
# Nothing in these does what a test could notice: progress, a guard against the programmer (frozen=True), imports for
# annotations only, and what `import *` would give. Nor do annotations and the text of errors, see `Sites`.
UNTESTED = m.OneOf(
    *(m.Call(func=m.Name(name)) for name in ("print", "tqdm", "dataclass")),
    m.If(test=m.Name("TYPE_CHECKING") | m.Attribute(attr=m.Name("TYPE_CHECKING"))),
    m.Assign(targets=[m.AssignTarget(target=m.Name("__all__"))]),
    m.Param(name=m.Name("remedy")),  # the advice in a message
    m.Arg(keyword=m.Name("device")),  # where a tensor is put: on a machine without a GPU there is one place
)


class Site(NamedTuple):
    """A place in a module where one fault can be made."""

    operator: str
    node: cst.CSTNode
    replacement: cst.CSTNode
    lines: range  # those of the node
    statement: int | None  # first line of the statement around it; None: it runs when the module is imported


class Mutant(NamedTuple):
    file: str
    line: int
    operator: str
    before: str  # the source lines that differ, joined
    after: str
    text: str  # of the whole mutated file
    site: Site

    @property
    def key(self) -> tuple[str, ...]:
        return self.file, str(self.line), self.operator, self.before, self.after


class Sites(cst.CSTVisitor):
    """Collects the sites of a module."""

    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self):
        super().__init__()
        self.found: list[Site] = []
        self.texts: set[cst.CSTNode] = set()  # what describes a setting, as against its value and bounds

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Raise) or m.matches(node, UNTESTED):
            return False
        if m.matches(node, m.Call(func=m.Name("setting"))):
            self.texts.update((node, *m.findall(node, m.SimpleString())))
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and node not in self.texts:
                name = operator.__name__.removeprefix("operator_")
                self.found += [Site(name, node, changed, *self._lines(node)) for changed in operator(node)]
        return True

    def _lines(self, node: cst.CSTNode) -> tuple[range, int | None]:
        position, statement = self.get_metadata(PositionProvider, node, None), None
        lines = range(position.start.line, position.end.line + 1) if position else range(0)  # some tokens have none
        while not isinstance(node, cst.Module):
            if statement is None and isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
                statement = self.get_metadata(PositionProvider, node).start.line
            child, node = node, self.get_metadata(ParentNodeProvider, node)
            if isinstance(node, cst.FunctionDef) and child is node.body:
                return lines, statement
        return lines, None


def mutants(texts: dict[str, str], seed: int) -> Iterator[Mutant]:
    """All mutants of the modules `texts` (by path), in random order: take as many as are wanted.

    First come MIN_PER_FILE of each file, then the rest of all files together. Within a file the operators take turns:
    more than half of all mutants are a call with an argument left out, which hardly any test overlooks.
    """
    rng = random.Random(seed)
    modules = {file: MetadataWrapper(cst.parse_module(text)) for file, text in sorted(texts.items())}
    order = []
    for file, module in modules.items():
        module.visit(sites := Sites())
        rng.shuffle(sites.found)
        turns = Counter()
        ranked = []
        for site in sites.found:
            turns[site.operator] += 1
            ranked.append((turns[site.operator], rng.random(), site))
        ranked.sort(key=lambda entry: entry[:2])
        places = sorted(rng.random() for _ in ranked)
        order += [(n >= MIN_PER_FILE, places[n], file, site) for n, (*_, site) in enumerate(ranked)]
    seen = set()
    for *_, file, site in sorted(order, key=lambda entry: entry[:3]):
        text = modules[file].module.deep_replace(site.node, site.replacement).code
        if (file, text) not in seen and _compiles(text):
            seen.add((file, text))
            line, before, after = _difference(texts[file], text)
            yield Mutant(file, line, site.operator, before, after, text, site)


def _compiles(text: str) -> bool:
    with suppress(SyntaxError), warnings.catch_warnings(action="ignore"):
        compile(text, "mutant", "exec")
        return True
    return False


def _difference(before: str, after: str) -> tuple[int, str, str]:
    """The first line that differs, and what stands in the lines that do, joined."""
    old, new = before.splitlines(), after.splitlines()
    start = len(os.path.commonprefix([old, new]))
    end = len(os.path.commonprefix([old[start:][::-1], new[start:][::-1]]))
    joined = [" ".join(" ".join(lines[start : len(lines) - end]).split()) for lines in (old, new)]
    return start + 1, *joined
