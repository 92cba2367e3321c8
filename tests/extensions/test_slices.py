"""What a cell needs of the cells before it is found in the code."""

import ast

import pytest
from slices import changes, code, imports, reads, what_it_needs


def needs(*cells):
    kept, unknown = what_it_needs(cells, len(cells) - 1)
    return code(kept), unknown


def test_of_an_import_only_the_names_that_are_needed_are_kept():
    first = "import numpy as np, math\nfrom a import b, c as d, e"
    assert needs(first, "d(math.pi)") == ("import math\nfrom a import c as d", set())


def test_definitions_are_traced_through_functions_and_what_only_prints_is_left_out():
    first = "from a import g\nk = 3\nunused = k\ndef f(x):\n    y = g(x)\n    return y + k\nprint(f(1))"
    assert needs(first, "f(2)") == (
        "from a import g\nk = 3\n\ndef f(x):\n    y = g(x)\n    return y + k".replace("\n\n", "\n"),
        set(),
    )


@pytest.mark.parametrize(
    "change", ["x.append(1)", "x[0] = 1", "x += [1]", "for i in (1, 2):\n    x.append(i)"]
)
def test_what_changes_a_value_in_place_is_kept(change):
    assert needs("x = [0]", change, "x")[0] == f"x = [0]\n{change}"


def test_the_last_definition_counts_and_those_before_it_do_not():
    assert needs("x = 1", "x = 2", "x") == ("x = 2", set())
    assert needs("x = 1", "x = x + 1", "x") == ("x = 1\nx = x + 1", set())
    assert needs("x = 1", "if input():\n    x = 2", "x")[0] == "x = 1\nif input():\n    x = 2"


def test_a_name_that_the_cell_binds_itself_is_not_looked_for():
    cell = "for name in 'ab':\n    print(name)\nwith open('f') as file:\n    file.read()\n[i for i in 'ab']"
    assert reads(ast.parse(cell).body) == set()
    assert reads(ast.parse("print(a)\na = 1\nb = a").body) == {"a"}


def test_a_name_found_nowhere_is_told_and_a_cell_of_ipython_defines_nothing():
    assert needs("%matplotlib inline\nx = 1", "x + y") == ("", {"x", "y"})


def test_imports_inside_functions_count_too():
    tree = ast.parse("def f():\n    import a.b\n    from c import d")
    assert imports(tree.body) == {("a.b", ""), ("c", "d")}
    assert changes(ast.parse("a.b.c[0] = 1").body[0]) == {"a"}
