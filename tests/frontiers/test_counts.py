"""Words and imports are counted as a reader would by hand."""

import ast

from scaling_transformers.frontiers.counts import import_counts, word_counts
from scaling_transformers.training.corpora import library_files


def test_words_are_runs_of_letters_in_any_case():
    assert word_counts(b"A cat, a_cat: 2 cats; CAT\xc3\xa9").tolist() == [3, 2, 1]


def test_imports_are_counted_once_a_file_and_relative_ones_not():
    files = {
        "a.py": b"import os.path as p, sys\nimport sys\nfrom . import b\nfrom .b import c\n",
        "b.py": b"def f():\n    from os.path import join\n",
        "c.py": b"x = 1  # import os\n",
    }
    assert import_counts(files).tolist() == [2, 1]


def test_imports_of_the_library_agree_with_those_of_pythons_parser():
    files = library_files()
    for name in ("argparse.py", "json/decoder.py", "ast.py"):
        found = set()
        for node in ast.walk(ast.parse(files[name])):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module)
        assert import_counts({name: files[name]}).tolist() == [1] * len(found)
