"""Source code as a text that every version of Python makes alike, and what of it no number depends on."""

import ast

# Arguments that only talk: the advice in a message, and what it calls a thing.
TALK = ("remedy", "what")


def canonical(node: object) -> str:
    """A syntax tree as text that is the same on every version of Python (`ast.dump` and `ast.unparse` are not)."""
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    # Newer versions have more fields, empty here. Whether a name is read or written follows from where it stands.
    fields = ((name, getattr(node, name, None)) for name in node._fields if name not in ("ctx", "kind", "type_comment"))
    shown = sorted(f"{name}={canonical(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({','.join(shown)})"


class WithoutNotes(ast.NodeTransformer):
    """Takes out of a tree what is written for readers: docstrings, annotations, declarations of hyper-parameters."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        called = node.value.func if isinstance(node.value, ast.Call) else None
        return None if isinstance(called, ast.Name) and called.id == "setting" else self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        # "a" f"{b}" "c" is one string or three parts of one, which differs between versions.
        self.generic_visit(node)
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
                parts[-1] = ast.Constant(f"{parts[-1].value}{part.value}")
            elif not (isinstance(part, ast.Constant) and part.value == ""):
                parts.append(part)
        node.values = parts
        return node

    def _without_docstring(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return self.generic_visit(node)


class WithoutTalk(WithoutNotes):
    """And what the program only says. Of the package's own code: in a user's, `what` may be more than a name."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in TALK]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        # The defaults are those of the last parameters.
        parameters = [*node.posonlyargs, *node.args]
        named = parameters[len(parameters) - len(node.defaults) :]
        node.defaults = [
            default for parameter, default in zip(named, node.defaults, strict=True) if parameter.arg not in TALK
        ]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        # Which exception it is may matter to who catches it; what it says does not.
        return ast.Raise(exc=node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        called = node.value.func if isinstance(node.value, ast.Call) else None
        return None if isinstance(called, ast.Name) and called.id == "print" else self.generic_visit(node)
