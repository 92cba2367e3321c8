"""The API reference, written at every build from what the package offers: no list of names to keep.

A name is public if neither it nor a module on the way to it begins with an underscore. A page holds one line,

    ```{api-reference} scaling_transformers.attention
    ```

and gets the package's own words, a table of its names with their first sentences, and an entry for each name:
first those of ``__all__``, then those that a module keeps to itself. A name that a package lends from another
is in its table alone, with a link to where it lives.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

PACKAGE = "scaling_transformers"


@dataclass(frozen=True)
class Entry:
    """A public name: where a reader imports it from, what it is, and its docstring (or comment)."""

    path: str
    value: Any
    words: str

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """The directive of the Python domain: class, exception, function or data."""
        if inspect.isclass(self.value):
            return "exception" if issubclass(self.value, BaseException) else "class"
        return "function" if inspect.isroutine(self.value) else "data"

    @property
    def summary(self) -> str:
        """The first sentence."""
        paragraph = " ".join(self.words.strip().split("\n\n")[0].split())
        return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph)[0]


def is_public(path: str) -> bool:
    """Whether no part of a dotted name begins with an underscore."""
    return not any(part.startswith("_") for part in path.split("."))


@cache
def modules(package: str = PACKAGE) -> tuple[str, ...]:
    """The public modules of a package, itself first, those of packages in it as well."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    return (package, *sorted(info.name for info in found if is_public(info.name)))


def packages() -> list[str]:
    """The package itself and those in it: each has a page."""
    return [name for name in modules() if hasattr(importlib.import_module(name), "__path__")]


def comment_on(module: ModuleType, name: str) -> str:
    """What the source says of a constant, in ``#:`` lines before it or a string after it."""
    comments = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
    return "\n".join(comments.get(("", name), []))


def source_of(module: ModuleType, name: str) -> ModuleType:
    """The module whose source sets a constant that ``module`` offers."""
    for other in modules():
        candidate = importlib.import_module(other)
        same = vars(candidate).get(name) is vars(module)[name]
        if same and not hasattr(candidate, "__path__") and comment_on(candidate, name):
            return candidate
    return module


@cache
def offered(package: str) -> tuple[Entry, ...]:
    """The names in the ``__all__`` of a package, in its order."""
    module = importlib.import_module(package)
    entries = []
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        own = inspect.isclass(value) or inspect.isroutine(value)
        words = value.__doc__ if own else comment_on(source_of(module, name), name)
        entries.append(Entry(f"{package}.{name}", value, inspect.cleandoc(words or "")))
    return tuple(entries)


@cache
def kept(module_name: str) -> tuple[Entry, ...]:
    """The public classes, functions and documented constants of a module that no package offers."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__path__"):
        return ()
    lent = {id(entry.value) for package in packages() for entry in offered(package)}
    entries = []
    for name, value in vars(module).items():
        own = inspect.isclass(value) or inspect.isroutine(value)
        if not is_public(name) or id(value) in lent or inspect.ismodule(value):
            continue
        if own and getattr(value, "__module__", None) == module_name:
            entries.append(Entry(f"{module_name}.{name}", value, inspect.cleandoc(value.__doc__ or "")))
        elif not own and (words := comment_on(module, name)):
            entries.append(Entry(f"{module_name}.{name}", value, inspect.cleandoc(words)))
    return tuple(entries)


@cache
def home(package: str, name: str) -> str:
    """Where an object that a package offers is described: in the package of its source, if that offers it."""
    [entry] = [entry for entry in offered(package) if entry.name == name]
    if entry.kind == "data":
        return entry.path
    offers = [other.path for around in packages() for other in offered(around) if other.value is entry.value]
    own = [path for path in offers if entry.value.__module__.startswith(path.rpartition(".")[0] + ".")]
    return max(own or offers[:1], key=len)


@cache
def described() -> dict[str, Entry]:
    """Every public name at the path under which the reference describes it."""
    found = {}
    for package in packages():
        found.update(
            {entry.path: entry for entry in offered(package) if home(package, entry.name) == entry.path}
        )
    for module in modules():
        found.update({entry.path: entry for entry in kept(module)})
    return found


@cache
def paths_by_name() -> dict[str, tuple[str, ...]]:
    """The described paths that end in a name."""
    found: dict[str, tuple[str, ...]] = {}
    for path in described():
        name = path.rpartition(".")[2]
        found[name] = (*found.get(name, ()), path)
    return found


def is_a_member(value: Any) -> bool:
    """Whether autodoc gives an entry of its own to what a class holds: methods and properties have one."""
    return inspect.isroutine(value) or isinstance(value, (property, cached_property))


def has_target(module: str) -> bool:
    """Whether a page has a part of this module's own; not if a function of its name stands in its place."""
    return module in modules() and module not in described() and (module in packages() or bool(kept(module)))


def look_up(word: str, *, inside: str) -> str | None:
    """The path of the name that a word in a docstring of ``inside`` means; None if it is no name of ours."""
    if word.startswith(f"{PACKAGE}."):
        return word if word in described() or has_target(word) else None
    first, _, rest = word.partition(".")
    found = paths_by_name().get(first, ())
    parts = inside.split(".")
    for depth in range(len(parts), 0, -1):  # the nearest first; a constant means something only near by
        near = [path for path in found if path.startswith(".".join(parts[:depth]) + ".")]
        near = [path for path in near if depth > 1 or described()[path].kind != "data"]
        if len(near) == 1:
            if not rest:
                return near[0]
            member = getattr(described()[near[0]].value, rest, None)
            return (
                f"{near[0]}.{rest}" if getattr(member, "__doc__", None) and is_a_member(member) else near[0]
            )
    module = next((name for name in modules() if name.endswith(f".{word}") and has_target(name)), None)
    return module


def as_rst(text: str, *, inside: str) -> str:
    """A docstring as reStructuredText: a word in backticks is a link if it is a name, else a literal."""

    def replace(match: re.Match[str]) -> str:
        path = look_up(match[1], inside=inside)
        if path is None:
            return f"``{match[1]}``"
        role = "mod" if has_target(path) else "obj"
        return f":py:{role}:`{match[1]} <{path}>`"

    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?![`_\w])", replace, text)
    return re.sub(r"^Source: ", "Source\n------\n", text, flags=re.MULTILINE)  # a section for napoleon


def described_as_rst(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Turn the backticks of every docstring that autodoc reads; Python's own words on a field say nothing."""
    if re.fullmatch(r"Alias for field number \d+\s*", "\n".join(lines)):
        lines.clear()
    lines[:] = as_rst("\n".join(lines), inside=getattr(value, "__module__", None) or name).split("\n")


def signature_as_written(
    app: Sphinx, what: str, name: str, value: Any, options: Any, arguments: str | None, result: str | None
) -> tuple[str, str | None] | None:
    """The signature with its types as the source has them, where autodoc would write out every alias."""
    if arguments is None:
        return None
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    if what == "class":
        found = found.replace(return_annotation=inspect.Signature.empty)
    elif what == "method" and not isinstance(value, staticmethod) and arguments.count("self") == 0:
        others = [own for own in found.parameters.values() if own.name not in ("self", "cls")]
        found = found.replace(parameters=others)
    text = stringify_signature(found, unqualified_typehints=True)
    head, _, returned = text.rpartition(" -> ")
    return (head, returned) if head else (text, None)


def link_types(app: Sphinx, doctree: nodes.document) -> None:
    """Link the types of the signatures that name ours; leave plain those of other packages."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") != "py" or node.get("refexplicit"):
            continue
        path = look_up(node["reftarget"], inside=node.get("py:module") or PACKAGE)
        if path not in described() or described()[path].kind == "function":
            node.replace_self(node.children)
        else:
            node["reftype"], node["reftarget"], node["refspecific"] = "obj", path, False


def table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines of the overview: for each name its path and its first sentence; none if there are no names."""
    head = (
        ".. list-table::",
        "   :class: api-overview",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - what it is",
    )
    for number, (path, summary) in enumerate(rows):
        if number == 0:
            yield from head
        yield f"   * - :py:obj:`{path.rpartition('.')[2]} <{path}>`"
        yield f"     - {summary}"
    yield ""


def entry_lines(entry: Entry) -> Iterator[str]:
    """Lines of the directive that describes a name."""
    if entry.kind == "data":
        inside = entry.path.rpartition(".")[0]
        yield from (f".. py:data:: {entry.name}", f"   :module: {inside}")
        if len(written := repr(entry.value)) <= 60:
            yield f"   :value: {written}"
        yield ""
        yield from (f"   {line}" for line in as_rst(entry.words, inside=inside).split("\n"))
    else:
        yield f".. auto{entry.kind}:: {entry.path}"
        if entry.kind != "function":
            yield "   :members:"
    yield ""


class ApiReference(SphinxDirective):
    """The reference of one package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        for name in modules():
            if name == package or name.startswith(f"{package}."):
                self.env.note_dependency(importlib.import_module(name).__file__)
        top = self.parsed(nodes.section(), self.package(package))
        return [*top.children, *map(self.section, filter(kept, self.below(package)))]

    def below(self, package: str) -> list[str]:
        return [name for name in modules() if name.rpartition(".")[0] == package]

    def section(self, module: str) -> nodes.section:
        """The part of the page on what a module keeps to itself."""
        short = module.removeprefix(f"{PACKAGE}.")
        section = nodes.section("", nodes.title("", "", nodes.literal("", short)), names=[short])
        self.state.document.note_implicit_target(section, section)
        return self.parsed(section, self.module(module))

    def parsed(self, holder: nodes.section, lines: Iterable[str]) -> nodes.section:
        """A node with reStructuredText parsed into it."""
        text = ["```````{eval-rst}", *lines, "```````"]
        self.state.nested_parse(StringList(text, self.arguments[0]), 0, holder)
        return holder

    def package(self, package: str) -> Iterator[str]:
        """A package's own words, the table of what it offers, and the entries of what is at home in it."""
        yield from (f".. automodule:: {package}", "")
        homes = [(entry, home(package, entry.name)) for entry in offered(package)]
        yield from table((path, as_rst(entry.summary, inside=package)) for entry, path in homes)
        for entry, path in homes:
            if path == entry.path:
                yield from entry_lines(entry)

    def module(self, module: str) -> Iterator[str]:
        """A module's own words, the table of what it keeps, and its entries."""
        yield from (f".. automodule:: {module}", *([] if has_target(module) else ["   :no-index:"]), "")
        yield from table((entry.path, as_rst(entry.summary, inside=module)) for entry in kept(module))
        for entry in kept(module):
            yield from entry_lines(entry)


def setup(app: Sphinx) -> dict[str, Any]:
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    app.add_directive("api-reference", ApiReference)
    app.connect("autodoc-process-docstring", described_as_rst, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature_as_written)
    app.connect("doctree-read", link_types)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
