"""Tests rewritten so that a program cannot answer their comparisons itself (`equality`)."""

import ast
import functools

from olmoflow.verifiers.sandbox.equality import NAME


class _Assertions(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        node.test = _Equalities().visit(node.test)
        return node


class _Equalities(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
            return node
        name = ast.Name(NAME, ast.Load())
        return ast.copy_location(ast.Call(name, [node.left, node.comparators[0]], []), node)


@functools.lru_cache(maxsize=10_000)
def guarded(test: str) -> str:
    """The test with ``__equal__(a, b)`` for each ``a == b`` in its assertions.

    Raises:
        SyntaxError: The test is not Python.
    """
    return ast.unparse(ast.fix_missing_locations(_Assertions().visit(ast.parse(test))))
