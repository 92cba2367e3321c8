"""Scripts that the build makes itself: each in a file whose name tells what is in it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path


def lay_file(outdir: Path, folder: str, stem: str, text: str) -> str:
    """Write a script into a folder of the site; its name, which another text would change."""
    name = f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.js"
    (outdir / folder).mkdir(parents=True, exist_ok=True)
    (outdir / folder / name).write_text(text, encoding="utf-8")
    return name


def remove_unused(outdir: Path, folder: str) -> None:
    """Remove the scripts in a folder, of earlier builds, that no page names any more."""
    named = re.compile(rf"{folder}/([\w.-]+\.js)")
    used = {name for page in outdir.rglob("*.html") for name in named.findall(page.read_text("utf-8"))}
    for file in (outdir / folder).glob("*.js"):
        if file.name not in used:
            file.unlink()
