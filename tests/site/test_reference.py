"""The reference of the package in the built book."""

import importlib.util
import posixpath
import sys

from sphinx.util.inventory import InventoryFile


def test_every_public_name_has_its_entry_in_the_reference(book):
    spec = importlib.util.spec_from_file_location(
        "api_reference", book.root / "extensions" / "api_reference.py"
    )
    reference = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = reference  # where a dataclass looks its module up
    spec.loader.exec_module(reference)
    with (book.folder / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)
    python = (names for kind, names in inventory.items() if kind.startswith("py:"))
    found = {name: entry[2] for names in python for name, entry in names.items()}
    for package in reference.packages():
        for name in getattr(importlib.import_module(package), "__all__", ()):
            assert found[reference.home(package, name)].startswith("chapters/api/")
    assert set(reference.described()) <= set(found)
    assert len(found) > 500
