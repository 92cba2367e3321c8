"""What of the earlier cells of a chapter a cell needs, found in the code itself.

A cell's names are traced to the statements that define them, and their names in turn. Of an import only the
names that are needed are kept, so that a cell which counts parameters does not ask for torch because another
name of the same cell does. What only prints or stores is left out.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Sequence

_ALWAYS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


def _tables(table: symtable.SymbolTable) -> Iterable[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _names(node: ast.stmt | ast.expr) -> tuple[set[str], set[str]]:
    """Global names that one statement or expression reads, and those that it binds."""
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    read = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    for table in list(_tables(top))[1:]:
        read |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return read, {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}


def _targets(nodes: Iterable[ast.expr | None]) -> set[str]:
    return {name.id for node in nodes if node for name in ast.walk(node) if isinstance(name, ast.Name)}


def reads(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that a run of the statements looks up before it has bound them itself."""
    needed: set[str] = set()
    bound: set[str] = set()
    for statement in statements:
        needed |= _reads_of(statement) - bound
        bound |= binds(statement)
    return needed - _ALWAYS


def _reads_of(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.For):
        inside = reads(statement.body) - _targets([statement.target])
        return _names(statement.iter)[0] | inside | reads(statement.orelse)
    if isinstance(statement, ast.With):
        inside = reads(statement.body) - _targets(item.optional_vars for item in statement.items)
        return set().union(inside, *(_names(item.context_expr)[0] for item in statement.items))
    if isinstance(statement, ast.If | ast.While):
        return _names(statement.test)[0] | reads(statement.body) | reads(statement.orelse)
    return _names(statement)[0]


def binds(statement: ast.stmt) -> set[str]:
    """Names that the statement binds."""
    return _names(statement)[1]


def changes(statement: ast.stmt) -> set[str]:
    """Names whose values the statement may change in place: ``x[0] = 1``, ``x.y = 1``, ``x.append(1)``."""
    found = set()
    for node in ast.walk(statement):
        place: ast.expr | None = None
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            place = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            place = node.value.func if isinstance(node.value.func, ast.Attribute) else None
        while isinstance(place, ast.Subscript | ast.Attribute):
            place = place.value
        if isinstance(place, ast.Name):
            found.add(place.id)
    return found


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell."""
    try:
        return ast.parse(source).body
    except SyntaxError:  # IPython's own syntax: such a cell defines nothing that another can use in a page
        return []


def _trimmed(statement: ast.Import | ast.ImportFrom, needed: set[str]) -> ast.stmt:
    kept = [a for a in statement.names if (a.asname or a.name.split(".")[0]) in needed]
    if isinstance(statement, ast.Import):
        return ast.Import(kept)
    return ast.ImportFrom(statement.module, kept, statement.level)


def what_it_needs(cells: Sequence[str], index: int) -> tuple[list[ast.stmt], set[str]]:
    """The statements of the cells before ``index`` that this one needs, in order, and names found nowhere."""
    needed = reads(parsed(cells[index]))
    kept: list[ast.stmt] = []
    for statement in reversed([each for cell in cells[:index] for each in parsed(cell)]):
        bound = binds(statement) & needed
        if not bound and not changes(statement) & needed:
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            statement = _trimmed(statement, needed)
        if not isinstance(statement, ast.If | ast.Try):  # they may bind nothing after all
            needed -= bound
        needed |= _reads_of(statement) - _ALWAYS
        if isinstance(statement, ast.AugAssign):
            needed |= bound
        kept.append(statement)
    return kept[::-1], needed


def imports(statements: Iterable[ast.stmt]) -> set[tuple[str, str]]:
    """Every import in the statements: the module, and the name taken from it or an empty string."""
    found: set[tuple[str, str]] = set()
    for node in (each for statement in statements for each in ast.walk(statement)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def code(statements: Iterable[ast.stmt]) -> str:
    """The statements as source."""
    return "\n".join(ast.unparse(ast.fix_missing_locations(statement)) for statement in statements)
