import pytest
import release
from handing_in import SMALL, Hand


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The folder with the releases of the small problem set."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.md").write_text(SMALL)
    release.write(folder / "small.md", variant="2026", output=folder, scratch=folder / "scratch")
    return folder


@pytest.fixture
def hand(small, tmp_path):
    return Hand(small, tmp_path / "submissions")
