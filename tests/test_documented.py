"""No public name is without words of its own.

A name is public if neither it nor a module on the way to it begins with an underscore.
"""

import importlib
import inspect
import pkgutil
import re
from functools import cached_property
from pathlib import Path

import pytest
from sphinx.pycode import ModuleAnalyzer

import scaling_transformers


def is_public(path):
    return not any(part.startswith("_") for part in path.split("."))


MODULES = [scaling_transformers.__name__]
MODULES += [
    found.name
    for found in pkgutil.walk_packages(scaling_transformers.__path__, "scaling_transformers.")
    if is_public(found.name)
]
every_module = pytest.mark.parametrize("name", MODULES)


def defined_in(module):
    """The public classes and functions whose source is in a module."""
    for name, value in vars(module).items():
        own = inspect.isclass(value) or inspect.isroutine(value)
        if own and is_public(name) and getattr(value, "__module__", None) == module.__name__:
            yield name, value


def function_of(member):
    """The function behind a method or property; None if a member of a class is neither."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    if isinstance(member, (classmethod, staticmethod)):
        return member.__func__
    return member if inspect.isfunction(member) else None


def test_the_walk_reaches_packages_and_modules():
    assert {"scaling_transformers.attention", "scaling_transformers.training.sweeps"} <= set(MODULES)
    assert len(MODULES) > 100


def test_every_package_has_a_page_in_the_reference():
    packages = {path.parent.name for path in Path(scaling_transformers.__file__).parent.glob("*/__init__.py")}
    pages = {path.stem for path in (Path(__file__).parents[1] / "chapters" / "api").glob("*.md")}
    assert pages == packages | {"index", "package"}


@every_module
def test_a_module_says_what_it_is_for(name):
    assert importlib.import_module(name).__doc__


@every_module
def test_every_class_function_method_and_property_has_a_docstring(name):
    module = importlib.import_module(name)
    silent = [own for own, value in defined_in(module) if not value.__doc__]
    for own, value in defined_in(module):
        if inspect.isclass(value):
            for member, found in vars(value).items():  # its own: what it inherits speaks of the base
                function = function_of(found)
                if is_public(member) and function is not None and not function.__doc__:
                    silent.append(f"{own}.{member}")
    assert silent == []


@every_module
def test_every_field_of_a_class_is_named_in_its_docstring_or_has_a_comment(name):
    module = importlib.import_module(name)
    comments = {field for _, field in ModuleAnalyzer.for_module(name).find_attr_docs()}  # a base may have it
    silent = [
        f"{own}.{field}"
        for own, value in defined_in(module)
        if inspect.isclass(value)
        for field in inspect.get_annotations(value)
        if is_public(field)
        and not re.search(rf"(?<!\w){field}(?!\w)", value.__doc__ or "")
        and field not in comments
    ]
    assert silent == []


@every_module
def test_every_constant_that_a_package_offers_has_a_comment(name):
    module = importlib.import_module(name)
    constants = {
        own
        for own in getattr(module, "__all__", ())
        if not inspect.isclass(vars(module)[own]) and not inspect.isroutine(vars(module)[own])
    }
    told = set()
    for other in MODULES:
        if other.startswith(f"{name}."):
            told |= {own for owner, own in ModuleAnalyzer.for_module(other).find_attr_docs() if not owner}
    assert constants - told == set()
