"""The reference of the package in the built book."""

import importlib.util
import posixpath

import api_reference as reference
from sphinx.util.inventory import InventoryFile


def test_every_public_name_has_its_entry_in_the_reference(book):
    with (book.folder / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)
    python = (names for kind, names in inventory.items() if kind.startswith("py:"))
    found = {name: entry[2] for names in python for name, entry in names.items()}
    for package in reference.packages():
        for name in getattr(importlib.import_module(package), "__all__", ()):
            assert found[reference.home(package, name)].startswith("chapters/api/")
    assert set(reference.described()) <= set(found)
    assert len(found) > 500
