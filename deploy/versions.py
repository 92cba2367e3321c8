"""Lay the built site into a folder with the other versions of the book, and let every page lead to them.

    python deploy/versions.py _build/html SITE latest
    python deploy/versions.py _build/html SITE v1.0

SITE then holds a folder for each version, ``index.html``, which leads to the newest, and ``versions.json``.
The menu on the pages is written into them: a list of plain links, of which each leads to the same page of
another version, or to its first page where it has no such page. So it needs no script and asks for no file,
and a site that stands alone has no menu. Pages that would not change are not touched.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import shutil
from html import escape
from pathlib import Path

BEGIN, END = "<!-- versions: begin -->", "<!-- versions: end -->"
NAME = re.compile(r"latest|v\d+(?:\.\d+)*(?:[.-]?[a-z0-9]+)*")


def versions_in(site: Path) -> list[str]:
    """The versions that a site holds: the latest, then the tagged ones, newest first."""
    names = [path.name for path in site.iterdir() if path.is_dir() and NAME.fullmatch(path.name)]

    def order(name: str) -> tuple[bool, list[int], bool]:
        numbers, rest = re.fullmatch(r"v?([\d.]*)(.*)", name).groups()  # type: ignore[union-attr]
        # v1.0 comes after v1.0-rc1.
        return name == "latest", [int(part) for part in numbers.split(".") if part], not rest

    return sorted(names, key=order, reverse=True)


def first_page(version: Path) -> str:
    """The page to which the address of a version leads."""
    text = (version / "index.html").read_text("utf-8")
    leads = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', text)
    return leads[1] if leads else "index.html"


def menu(site: Path, versions: list[str], version: str, page: str) -> str:
    """The menu of one page."""
    items = []
    for other in versions:
        there = page if (site / other / page).is_file() else first_page(site / other)
        link = posixpath.relpath(f"{other}/{there}", posixpath.dirname(f"{version}/{page}"))
        here = ' aria-current="true"' if other == version else ""
        items.append(f'<li><a href="{escape(link)}"{here}>{escape(other)}</a></li>')
    return (
        '<nav class="book-versions" aria-label="Versions"><details>'
        f"<summary>Version: {escape(version)}</summary>"
        f"<ul>{''.join(items)}</ul></details></nav>"
    )


def write_menus(site: Path) -> None:
    """Bring the menus of all pages of all versions up to date; with one version there is none."""
    versions = versions_in(site)
    for version in versions:
        for path in (site / version).rglob("*.html"):
            text = path.read_text("utf-8")
            if BEGIN not in text:
                continue
            page = path.relative_to(site / version).as_posix()
            inside = menu(site, versions, version, page) if len(versions) > 1 else ""
            new = re.sub(
                f"{BEGIN}.*?{END}", lambda match, new=inside: f"{BEGIN}{new}{END}", text, flags=re.DOTALL
            )
            if new != text:
                path.write_text(new, encoding="utf-8")


def assemble(built: Path, site: Path, version: str) -> None:
    """Put a built book into the site as one of its versions, in place of what was there under that name.

    Raises
    ------
    ValueError
        If ``version`` is neither "latest" nor such as v1.0, or ``built`` holds no book.
    """
    if not NAME.fullmatch(version):
        raise ValueError(f'version must be "latest" or such as v1.0; got {version!r}')
    if not (built / "index.html").is_file():
        raise ValueError(f"built must be a folder with a book; got {str(built)!r}, which has no index.html")
    target = site / version
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(built, target)
    (site / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
    versions = versions_in(site)
    newest = next((name for name in versions if name != "latest"), "latest")
    (site / "index.html").write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>To the book</title>'
        f'<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url={newest}/"></head>'
        f'<body><main><h1><a href="{newest}/">To the book</a></h1></main></body></html>\n',
        encoding="utf-8",
    )
    entries = [{"version": name, "url": f"{name}/"} for name in versions]
    (site / "versions.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    write_menus(site)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("built", type=Path, help="the built book, _build/html")
    parser.add_argument("site", type=Path, help="the folder of all versions")
    parser.add_argument("version", help="latest, or a tag such as v1.0")
    asked = parser.parse_args()
    asked.site.mkdir(parents=True, exist_ok=True)
    assemble(asked.built, asked.site, asked.version)
