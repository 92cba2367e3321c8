"""English prose that every reader has: what the makers of Python libraries wrote in their docstrings."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

from scaling_transformers.training.corpora import LEFT_OUT, Corpus, _corpus, _draw, _require_share

PACKAGES = (
    "numpy",
    "scipy",
    "sklearn",
    "matplotlib",
    "torch",
    "transformers",
    "pandas",
    "sympy",
    "mpmath",
    "networkx",
    "dask",
    "distributed",
    "datasets",
    "huggingface_hub",
    "mypy",
    "hypothesis",
    "IPython",
    "sphinx",
    "docutils",
    "fontTools",
    "fairlearn",
    "playwright",
)
"""Packages of constraints.txt and requirements.txt that describe themselves at length."""

_MARKED = re.compile(r"(?::[a-z:]+:)?(`+)~?([^`<]+?)(?: <[^>`]*>)?\1_{0,2}|\*\*?(\w[^*]*)\*\*?|\[[\w ]+\]_")
_RULE = re.compile(r"\s*([-=~^+*.])\1{2,}\s*")  # below a heading
_PLAIN_WORD = re.compile(r"[(\"']*[A-Za-z][a-z]*(?:[-'/][A-Za-z][a-z]*)*[.,;:!?)\"']*")
SHORTEST, PLAIN_SHARE = 8, 0.85


def library_prose(*, packages: Iterable[str] = PACKAGES, validation_share: float = 0.05) -> Corpus:
    """Paragraphs of English from the docstrings of the standard library and of installed packages.

    With them come the topics of Python's own ``help()``. A paragraph is taken by `prose_paragraphs`; one of
    which at least half of the sentences were read before is dropped as a copy. The standard library is read
    first: with ``packages=()`` the two parts are those that it has in the whole. A file goes to validation
    when the hash of its name falls below ``validation_share``.

    Parameters
    ----------
    packages : names by which they are imported; they must be installed

    Raises
    ------
    ValueError
        If ``validation_share`` is not between 0 and 1, or a package is not installed as a folder of sources.
    """
    _require_share(validation_share)
    packages = tuple(packages)
    documents = [
        *docstring_paragraphs(Path(sysconfig.get_paths()["stdlib"])),
        *((f"help/{name}", prose_paragraphs(topics[name])) for name in sorted(topics)),
    ]
    versions = []
    for name in packages:
        documents += [(f"{name}/{file}", found) for file, found in docstring_paragraphs(_folder_of(name))]
        versions.append(f"{name} {_version(name)}")
    seen: set[str] = set()
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    n_all, bytes_all = 0, 0
    for name, found in documents:
        part = parts[_draw(name) < validation_share]
        for paragraph in found:
            sentences = re.split(r"(?<=[.!?]) ", paragraph)
            n_all, bytes_all = n_all + 1, bytes_all + len(paragraph) + 2
            if 2 * sum(sentence in seen for sentence in sentences) < len(sentences):
                part.append(paragraph.encode() + b"\n\n")
            seen.update(sentences)
    return _corpus(
        parts,
        name=f"prose of Python {platform.python_version()}" + "".join(f", {each}" for each in versions),
        n_all=n_all,
        bytes_all=bytes_all,
    )


def docstring_paragraphs(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """For each source below a folder, in the order of names: its path there, and its docstrings' prose.

    Tests are not entered; a file that this Python cannot parse is passed by.
    """
    for root, below, names in os.walk(folder):
        below[:] = sorted(set(below) - LEFT_OUT)
        for path in sorted(Path(root, name) for name in names if name.endswith(".py")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old escapes in others' sources
                try:
                    tree = ast.parse(path.read_bytes())
                except (SyntaxError, ValueError):
                    continue
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
            found = [paragraph for text in texts if text for paragraph in prose_paragraphs(text)]
            if found:
                yield path.relative_to(folder).as_posix(), found


def prose_paragraphs(text: str) -> list[str]:
    """The paragraphs of a text that are English sentences, each on one line and without its markup.

    Such a paragraph is in ASCII, has one indent (unlike lists of parameters), no heading, at least eight
    words of which 85 % are plain words, begins with a capital and ends as a sentence does.

    >>> prose_paragraphs("Return the ``mean`` of all\\nthe values that were given here.\\n\\n>>> mean([1])")
    ['Return the mean of all the values that were given here.']
    """
    found = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in block.expandtabs().splitlines() if line.strip()]
        indents = {len(line) - len(line.lstrip()) for line in lines}
        if not block.isascii() or len(indents) != 1 or any(map(_RULE.fullmatch, lines)):
            continue
        words = _MARKED.sub(lambda mark: mark[2] or mark[3] or "", " ".join(block.split())).split()
        plain = sum(_PLAIN_WORD.fullmatch(word) is not None for word in words)
        if len(words) >= SHORTEST and plain >= PLAIN_SHARE * len(words):
            paragraph = " ".join(words)
            if paragraph[0].isupper() and paragraph[-1] in ".!?":
                found.append(paragraph)
    return found


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"packages must be installed as folders of sources; got {package!r}")
    return Path(next(iter(spec.submodule_search_locations)))


def _version(package: str) -> str:
    """The version of the distribution that a package comes with, or a question mark."""
    names = {"sklearn": "scikit-learn"}
    try:
        return importlib.metadata.version(names.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        return "?"
