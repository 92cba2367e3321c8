"""What the loader of the published runs promises."""

import hashlib

import numpy as np
import pytest

from scaling_transformers.scaling import fit_chinchilla, load_chinchilla_points, points

HEADER = "x,y,color,Model Size,Training FLOP,hex_color,loss"
SMALL = f"{HEADER}\n154.03,140.6,#faebdd,2e9,2.4e20,#faebdd,2.5\n151.6,175.5,#f8d1b8,1e8,6e18,#f8d1b8,3.25\n"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Makes a text the file that the authors published, and gives where it lies."""

    def publish(text):
        path = tmp_path / "published.csv"
        path.write_bytes(text.encode())
        monkeypatch.setattr(points, "CHECKSUM", hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setattr(points, "ADDRESS", path.as_uri())
        return path

    return publish


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """How often a file was copied to the cache, by a downloader that knows no network."""
    pooch = pytest.importorskip("pooch", reason="it fetches files that are not part of the project")
    copied = []

    def retrieve(url, known_hash, fname, path):
        def copy(url, output_file, pooch):
            copied.append(url)
            with open(url.removeprefix("file://"), "rb") as source, open(output_file, "wb") as sink:
                sink.write(source.read())

        return original(url, known_hash=known_hash, fname=fname, path=path, downloader=copy)

    original = pooch.retrieve
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return copied


def test_the_columns_are_those_of_the_file_and_tokens_follow_from_flops(published):
    runs = load_chinchilla_points(path=published(SMALL))
    assert runs.dtype.names == ("n_params", "n_tokens", "flops", "loss")
    assert runs["n_params"].tolist() == [2e9, 1e8]
    assert runs["flops"].tolist() == [2.4e20, 6e18]
    assert runs["n_tokens"].tolist() == [2e10, 1e10]
    assert runs["loss"].tolist() == [2.5, 3.25]


def test_other_line_ends_are_the_same_file_and_any_other_change_is_refused(published):
    path = published(SMALL)
    path.write_bytes(SMALL.replace("\n", "\r\n").encode())
    assert load_chinchilla_points(path=path).size == 2
    path.write_text(SMALL.replace("3.25", "3.26"))
    with pytest.raises(ValueError, match=rf"^path must be the file of {points.ADDRESS}, of SHA-256 "):
        load_chinchilla_points(path=path)
    with pytest.raises(FileNotFoundError):
        load_chinchilla_points(path=path.with_name("absent.csv"))


def test_the_file_is_downloaded_once_and_again_only_if_it_was_changed(published, downloads, tmp_path):
    published(SMALL)
    first, again = load_chinchilla_points(), load_chinchilla_points()
    assert (first == again).all()
    assert len(downloads) == 1
    cached = tmp_path / "cache" / "scaling-transformers" / "chinchilla_points.csv"
    cached.write_text("something else")
    assert (load_chinchilla_points() == first).all()
    assert len(downloads) == 2


def test_a_download_that_was_tampered_with_is_refused_and_not_kept(published, downloads, tmp_path):
    published(SMALL).write_text(SMALL.replace("3.25", "3.26"))
    with pytest.raises(ValueError, match=r"(?s)SHA256 hash of downloaded file .*does not match"):
        load_chinchilla_points()
    assert not list((tmp_path / "cache").rglob("*.csv"))


def test_without_a_network_the_error_names_the_address(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch", reason="it fetches files that are not part of the project")

    def unreachable(*arguments, **named):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", unreachable)
    with pytest.raises(OSError, match=r"^https://raw\.githubusercontent\.com/.*no route.*path"):
        load_chinchilla_points()


def test_the_address_is_of_one_commit_and_the_checksum_is_one():
    assert len(points.ADDRESS.split("/")[-3]) == 40
    assert len(bytes.fromhex(points.CHECKSUM)) == 32


def test_the_published_runs_parse_to_the_shared_ones_and_give_the_published_law(
    all_published_runs, published
):
    rows = (
        f"0,0,#0,{run['n_params']!r},{run['flops']!r},#0,{run['loss']!r}".replace("np.float64(", "").replace(
            ")", ""
        )
        for run in all_published_runs
    )
    runs = load_chinchilla_points(path=published("\n".join([HEADER, *rows]) + "\n"))
    assert runs.size == 245
    for name in runs.dtype.names:
        assert (runs[name] == all_published_runs[name]).all(), name
    kept = runs[np.argsort(runs["loss"])[:-5]]
    law = fit_chinchilla(kept["n_params"], kept["n_tokens"], kept["loss"]).law
    found = law.A, law.B, law.E, law.alpha, law.beta
    # Besiroglu et al. 2024: a tenth of their standard errors is left for where their search stopped
    np.testing.assert_array_less(
        np.abs(np.array(found) - (482.01, 2085.43, 1.8172, 0.3478, 0.3658)),
        0.1 * np.array([124.5, 1293.3, 0.026, 0.015, 0.021]),
    )
