"""Which source code a result depends on: editing a plot retrains nothing, editing a loss what uses it."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


@cache
def code_digest(module: str) -> str:
    """SHA-256 over a lautum module and all lautum modules it imports, comments, docstrings and layout aside.

    That of an objective also covers `lautum.stages`, which hands it its data.

    Args:
        module: dotted name, e.g. "lautum.objectives.mk_mmd".
    """
    digest = hashlib.sha256()
    names = _imported(module, frozenset())
    if module.startswith("lautum.objectives."):
        names |= {"lautum.stages"}
    for name in sorted(names):
        digest.update(f"{name}\n{_code(name)}\n".encode())
    return digest.hexdigest()


# What turns settings into numbers. Checks of the configuration, file formats and the command line are not part of a
# result.
_NOT_CODE_OF_A_RESULT = {
    "lautum",
    "lautum.checkpoint",
    "lautum.errors",
    "lautum.files",
    "lautum.objectives",
    "lautum.settings",
    "lautum.suggest",
}


def _imported(module: str, seen: frozenset[str]) -> frozenset[str]:
    seen |= {module}
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("lautum"):
            continue
        for alias in node.names:
            nested = f"{node.module}.{alias.name}"
            name = nested if _file(nested).exists() else node.module
            if name not in seen and name not in _NOT_CODE_OF_A_RESULT:
                seen = _imported(name, seen)
    return seen


def _file(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _code(module: str) -> str:
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)
