"""Which source code a result depends on: editing a plot retrains nothing, editing a loss what uses it."""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lautum.experiment.syntax import WithoutNotes, WithoutTalk, canonical

PACKAGE = Path(__file__).parents[1]
# What the packages are called that `lautum.experiment.plugins` makes of folders: this and a hash of the folder's path.
FOLDER = "lautum_plugins_"

# Modules of which no number of a result depends: what they decide or hold is in the key or in the record itself.
NOT_CODE_OF_A_RESULT = {
    "lautum": "its version, and names from other modules, which are followed there",
    "lautum.data.datasets": "prepared files, whose content hashes are in every record",
    "lautum.errors": "messages",
    "lautum.experiment.layout": "paths and keys",
    "lautum.files": "file formats",
    "lautum.lazy": "when torch is imported",
    "lautum.pipeline.environment": "what a record says about the machine",
    "lautum.pipeline.locks": "who writes a file first; both would write the same",
    "lautum.pipeline.receipt": "what tells the graph that a file is finished",
    "lautum.pipeline.run_record": "a file format",
    "lautum.schema": "file formats and messages",
    "lautum.training.interruption": "when a stage stops; resumed, it goes on as if it had not",
    "lautum.training.progress": "messages",
}

# Imports modules by their names, which are in the key: what it does itself counts, what it imports does not.
BY_NAME = "lautum.objectives"

# Names that modules have without a statement.
UNWRITTEN = ("__dict__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__")


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 of the code that turns settings into numbers: some modules and all of the package that they import.

    In it: every statement that can change a number, in these modules and in those they import in whatever way
    (`import lautum.a`, `from lautum import a`, a relative import, a name that a package takes from elsewhere, an import
    inside a function), the numeric environment among them (threads, determinism, precision of matrix products).

    Not in it: comments, docstrings, layout, annotations of functions; declarations of hyper-parameters
    (`setting(...)`), whose values are in a key themselves; of this package the texts of errors, assertions and advice,
    and what is printed, and the modules of `NOT_CODE_OF_A_RESULT`; other packages (a record has the versions of
    Python and PyTorch). What is looked up by a name that is computed (`getattr`, an `__all__` that is not written out)
    is not followed, nor what a module does to an object of another that it only passes on.

    Equal on every version of Python: it is taken from the syntax tree, written in a form of its own.

    Args:
        modules: dotted names, e.g. "lautum.objectives.mk_mmd"; also of modules of other packages, which must have been
            imported. Of those are followed what they import of their own package, and of this one.

    Raises ImportError for a name of the package that does not exist, for an import by a computed name, and for an
    expression that is too long to be written; SyntaxError for a file that Python cannot read.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name in NOT_CODE_OF_A_RESULT:
            continue
        found[name], needed = _module(name)
        waiting += needed
    # Where a plugin lies is no part of what it computes.
    lines = sorted(f"{re.sub(f'^{FOLDER}[0-9a-f]*', 'plugins', name)} {value}\n" for name, value in found.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a module's own code, and the modules of the package that it imports or lies in."""
    tree = _tree(name)
    imported = [] if name == BY_NAME else dict.fromkeys(_imported(name, tree))
    needed = (*imported, *_packages(name))
    without = WithoutTalk() if name.split(".")[0] == "lautum" else WithoutNotes()
    try:
        text = canonical(without.visit(tree))
    except RecursionError:
        raise ImportError(f"an expression in {name} is too long; split it") from None
    return hashlib.sha256(text.encode()).hexdigest(), needed


def _imported(module: str, tree: ast.Module) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in it."""
    bound: dict[str, str] = {}  # local name -> module of the package
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                if _is_ours(alias.name, module):
                    yield _require(alias.name, module)
                    bound[alias.asname or root] = alias.name if alias.asname else root
                elif _lies_beside(root, module):
                    raise ImportError(
                        f"{module}, line {node.lineno}: write `from . import {root}` for a file beside it"
                    )
        elif isinstance(node, ast.ImportFrom) and _is_ours(origin := _origin(module, node), module):
            for alias in node.names:
                if alias.name == "*":
                    yield from (origin, *_listed(_require(origin, module)))
                    continue
                found = _resolve(origin, alias.name, module)
                yield found
                if found == f"{origin}.{alias.name}":
                    bound[alias.asname or alias.name] = found
        elif isinstance(node, ast.ImportFrom) and _lies_beside(root := (node.module or "").split(".")[0], module):
            raise ImportError(f"{module}, line {node.lineno}: write `from .{root} import` for a file beside it")
        if _imports_by_name(node):
            line = getattr(node, "lineno", "?")
            raise ImportError(f"{module}, line {line}: an import by a computed name cannot be followed")
    for node in ast.walk(tree):
        # `package.module.name` after an import of the package alone.
        if isinstance(node, ast.Attribute) and (chain := _chain(node)) and chain[0] in bound:
            found = bound[chain[0]]
            for name in chain[1:]:
                if not (_is_package(found) and name != "__version__"):
                    break
                found = _resolve(found, name, module)
                yield found


def _origin(module: str, node: ast.ImportFrom) -> str:
    """The absolute name of the module that a `from` statement names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if _is_package(module) else module.split(".")[:-1]
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _listed(package: str) -> list[str]:
    """The modules that `from package import *` imports: here every text of it that names one."""
    texts = [node.value for node in _outside_functions(_tree(package)) if isinstance(node, ast.Constant)]
    names = [text for text in texts if isinstance(text, str) and text.isidentifier()]
    return [f"{package}.{name}" for name in names if _file(f"{package}.{name}")]


def _resolve(origin: str, name: str, importer: str, passed: tuple[str, ...] = ()) -> str:
    """The module that `name` of `origin` is, or stands in, also when a package takes it from elsewhere.

    `passed`: the modules that it was taken from so far, for two that take it from each other (for a type checker).
    """
    if _file(f"{origin}.{name}"):
        return f"{origin}.{name}"
    bound = _bound(_require(origin, importer))
    if name not in bound and "*" not in bound:
        raise ImportError(f"{importer} imports {name!r} of {origin}, which has no such name")
    taken = bound.get(name)
    return _resolve(*taken, origin, (*passed, origin)) if taken and origin not in passed else origin


@cache
def _bound(module: str) -> dict[str, tuple[str, str] | None]:
    """The names that a module has: those taken from a module of the package with that module and their name there.

    After `from ... import *` any of them may stand for something else. They are then the module's own, with which
    everything that it imports is followed.
    """
    names: dict[str, tuple[str, str] | None] = dict.fromkeys(UNWRITTEN)
    for node in _outside_functions(_tree(module)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            names[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            origin = _origin(module, node) if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if alias.name == "*":
                    names = dict.fromkeys([*names, "*"])
                    continue
                bound = alias.asname or alias.name.split(".")[0]
                # Under another name, or once of several, it is this module that says what the name stands for.
                passed_on = _is_ours(origin, module) and bound == alias.name and bound not in names
                names[bound] = (origin, bound) if passed_on else None
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Global):
            names |= dict.fromkeys(node.names)
    return names


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module that run when it is imported, in their order, however deep an expression is."""
    waiting = [*ast.iter_child_nodes(tree)][::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += [*ast.iter_child_nodes(node)][::-1]


def _chain(node: ast.expr) -> list[str]:
    """["a", "b", "c"] for the expression a.b.c, empty for others."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := _chain(node.value)):
        return [*before, node.attr]
    return []


def _imports_by_name(node: ast.AST) -> bool:
    """Whether this is `importlib`, by whatever name, or `__import__`."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "importlib" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").split(".")[0] == "importlib"
    return isinstance(node, ast.Name) and node.id == "__import__"


def _is_ours(module: str, importer: str) -> bool:
    """Whether a module is of this package, or of that of the plugin that imports it."""
    return module.split(".")[0] in ("lautum", importer.split(".")[0])


def _lies_beside(name: str, module: str) -> bool:
    """Whether a plugin's folder has a file of this name, which the plugin does not get by an absolute import."""
    return module.startswith(FOLDER) and _file(f"{module.split('.')[0]}.{name}") is not None


def _packages(module: str) -> list[str]:
    """The packages that a module lies in: importing it runs them too."""
    parts = module.split(".")
    packages = [".".join(parts[:length]) for length in range(1, len(parts))]
    return [package for package in packages if not package.startswith(FOLDER) and _file(package)]


def _require(module: str, importer: str) -> str:
    if not _file(module):
        raise ImportError(f"{importer} imports {module}, which does not exist")
    return module


def _is_package(module: str) -> bool:
    file = _file(module)
    return file is not None and file.name == "__init__.py"


def _file(module: str) -> Path | None:
    """The source file of a module or package of this name; None if there is none."""
    root, *names = module.split(".")
    for folder in [PACKAGE] if root == "lautum" else map(Path, getattr(sys.modules.get(root), "__path__", [])):
        path = folder.joinpath(*names)
        for file in ([path.with_suffix(".py")] if names else []) + [path / "__init__.py"]:
            if file.is_file():
                return file
    return None


def _tree(module: str) -> ast.Module:
    file = _file(module)
    if file is None:
        raise ImportError(f"there is no module {module}")
    # Bytes: Python finds out their encoding as it does for an import.
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        error.filename = str(file)  # which Python leaves out of some
        raise
