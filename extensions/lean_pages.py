"""Make the built pages light: what a page does not use is not sent, and what it shows first comes first.

The theme loads everything on every page. `benchmarks/site.py` measures what follows from it, and each step
here pays there:

- One style sheet takes the place of a dozen. It keeps, of the theme's rules, those for classes that a page
  or a script names: a fifth of the bytes, and fewer rules to match.
- Icons are drawn by a font of the few that are in use, not by a script of a megabyte and a half.
- The search index is loaded by the search page alone: the theme's search as you type is switched off.
- MathJax is loaded only by pages with formulas, and by maths.js, which typesets them a few at a time.
- Scripts wait until the page is read; none of them writes into it as it comes.
- Whether "auto" is light or dark is settled before anything is drawn, not by a second drawing of the page.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

# Style sheets of others, whose rules are kept only as far as they are used. The book's own are kept whole.
_OF_OTHERS = re.compile(r"(pydata-sphinx-theme|sphinx-book-theme|sphinx-design\.min|mystnb\.\w+|basic)\.css$")
_ONLY_TO_SEARCH = ("searchtools", "language_data", "searchindex")
# What no_inline_scripts.py has laid can wait too, but for the script with this mark, which settles the theme.
_SETTLES_THE_THEME = "data-cfasync"
_SCRIPTS_THAT_CAN_WAIT = (
    *("documentation_options", r"page-scripts/script-\w+", "doctools", "sphinx_highlight"),
    *("clipboard.min", "copybutton", "togglebutton", "design-tabs", "sphinx-book-theme"),
    *_ONLY_TO_SEARCH,  # they stand on doctools
)
_LARGEST_SCRIPT = 300_000  # bytes; the larger ones, such as MathJax, style nothing of the theme's
_ICONS = "vendor/fontawesome/webfonts"

_SHEET = re.compile(
    r'[ \t]*<link(?=[^>]*rel="stylesheet")[^>]*href="((?:\.\./)*_static/[^"?]+)[^"]*"[^>]*>\n?'
)
_SCRIPT = r'[ \t]*<script(?=[^>]*src="[^"]*{}\.js)[^>]*></script>\n?'
# A page that is light already, and the sheets that it had asked for.
_LIGHT = re.compile(
    r'(<link rel="stylesheet" href="[^"]*_static/styles/)lean-\w+\.css(?=" data-sheets="([^"]*)")(")'
)
_MEASURING = re.compile(
    r'(function \w\(\)\{)const \w=\(\)=>\{document\.querySelectorAll\(\["pre",.{,500}?,\w\(\)\}'
)
_QUIET = "/* see keyboard.js */"
_OWN_STYLE = re.compile(r'(<div class="book-figure"[^>]*>)<style>(.*?)</style>', re.DOTALL)


def words_of(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """Every class that a page names, and every word of a script: it may become one."""
    used: set[str] = set()
    for page in pages:
        for names in re.findall(r'\bclass="([^"]*)"', page):
            used.update(names.split())
    for script in scripts:
        used.update(re.findall(r"[\w-]+", script))
    return used


def may_match(selector: str, used: set[str]) -> bool:
    """Whether every class that a selector asks for is in use; what it rules out does not count."""
    asked = re.sub(r":(?:not|is|where)\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\]", "", selector)
    return all(name.replace("\\", "") in used for name in re.findall(r"\.(-?(?:[\w-]|\\.)+)", asked))


def used_rules(sheet: str | list[Any], used: set[str]) -> str:
    """A style sheet without the rules that can match nothing."""
    kept = []
    parse = tinycss2.parse_stylesheet if isinstance(sheet, str) else tinycss2.parse_rule_list
    for rule in parse(sheet, skip_comments=True, skip_whitespace=True):
        if rule.type == "qualified-rule":
            selectors: list[list[Any]] = [[]]
            for token in rule.prelude:
                if token == ",":
                    selectors.append([])
                else:
                    selectors[-1].append(token)
            texts = (tinycss2.serialize(selector).strip() for selector in selectors)
            wanted = [text for text in texts if may_match(text, used)]
            if wanted:
                kept.append(f"{','.join(wanted)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports") and rule.content:
            inner = used_rules(rule.content, used)
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        elif rule.type == "at-rule":
            kept.append(rule.serialize())
        else:
            raise ValueError(f"a style sheet cannot be read at line {rule.source_line}: {rule.message}")
    return "".join(kept)


def moved(sheet: str, folder: str, target: str) -> str:
    """A style sheet of one folder as one of another: the files that it names are found from there."""

    def address(match: re.Match[str]) -> str:
        name = match[1].strip("\"'")
        if re.match(r"[a-z]+:|/|#", name):
            return match[0]
        return f"url({posixpath.relpath(posixpath.join(folder, name), target)})"

    return re.sub(r"url\(([^)]*)\)", address, sheet)


def style_of(sheets: Iterable[str], static: Path, used: set[str]) -> str:
    """One style sheet, for the folder ``static / "styles"``, in place of the ones that pages link to."""
    parts = []
    for name in sheets:  # in the order of the pages: later rules win
        text = (static / name).read_text("utf-8")
        if _OF_OTHERS.search(name):
            text = used_rules(text, used)
        parts.append(moved(text, posixpath.dirname(name), "styles"))
    return "\n".join(parts)


def icons_of(style: str, static: Path) -> str:
    """The style sheet with fonts that hold the icons that it names, and no others. Writes them."""
    wanted = {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", style)}
    wanted |= {ord(letter) for letter in style if "\ue000" <= letter <= "\uf8ff"}
    for name in re.findall(r"/(fa-[\w-]+)\.ttf\b", style):
        source = static / _ICONS / f"{name}.ttf"
        if not source.is_file():
            continue
        # The same bytes whenever the same icons are made: no date of the build.
        font = TTFont(source, recalcTimestamp=False)
        options = subset.Options(flavor="woff", desubroutinize=True)
        options.layout_features = []
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=wanted)
        subsetter.subset(font)
        font.flavor = "woff"
        font.save(static / _ICONS / f"{name}.lean.woff")
        style = re.sub(
            rf"src:\s*url\(([^)]*/{name})\.woff2\)[^;}}]*(?=[;}}])",
            r'src:url(\1.lean.woff) format("woff")',
            style,
        )
    return style


def lightened(page: str, *, name: str, sheet: str) -> str:
    """The markup of a page with one style sheet and without the scripts that it does not use."""
    head, body = page.split("</head>", 1)
    if _LIGHT.search(head):
        return _LIGHT.sub(rf"\g<1>{sheet}\g<3>", head) + f"</head>{body}"
    without = ["fontawesome"]
    if name != "search.html":
        without += _ONLY_TO_SEARCH
    if "sd-tab-set" not in body:
        without.append("design-tabs")
    if 'class="math' not in body:
        without.append("tex-chtml")
    for script in without:
        head = re.sub(_SCRIPT.format(script), "", head)
    for script in _SCRIPTS_THAT_CAN_WAIT:
        head = re.sub(
            rf'<script(?![^>]*(?:\bdefer\b|{_SETTLES_THE_THEME}))([^>]*src="(?:[^"]*/)?{script}\.js)',
            r"<script defer\1",
            head,
        )
    # A deferred script needs no early request that competes with the style sheet.
    head = re.sub(r'<link rel="preload" as="script"[^>]*>\n?', "", head)
    head = re.sub(
        r'<script(?=[^>]*src="([^"]*)mathjax/tex-chtml\.js([^"]*)")[^>]*></script>',
        r'<script defer src="\1maths.js" data-typesetter="\1mathjax/tex-chtml.js\2"></script>',
        head,
    )
    sheets = sheets_of(page)
    links = list(_SHEET.finditer(head))
    if links:
        root = links[0][1].split("_static/")[0]
        first = links[0].start()
        # The names are for a later build, which finds the page like this.
        one = (
            f'<script src="{root}_static/first-theme.js"></script>\n'
            f'<link rel="stylesheet" href="{root}_static/styles/{sheet}" data-sheets="{" ".join(sheets)}">\n'
        )
        head = head[:first] + one + _SHEET.sub("", head[first:])
    body = _OWN_STYLE.sub(r"\1", body)
    return f"{head}</head>{body}"


def quiet_theme(static: Path) -> None:
    """Take from the theme's script the loop that measures every box that might scroll, one layout a box.

    It does so whenever anything is added to a page, such as a formula; keyboard.js is told of the same boxes.
    """
    path = static / "scripts" / "pydata-sphinx-theme.js"
    text = path.read_text("utf-8")
    if _QUIET in text:
        return
    text, found = _MEASURING.subn(rf"\1{_QUIET}}}", text)
    if found != 1:
        raise ValueError(f"{path.name} must measure boxes in one place; got {found}: look at the new theme")
    path.write_text(text, "utf-8")


def sheets_of(page: str) -> list[str]:
    """The style sheets that a page asks for, those in its figures last, or asked for before it was light."""
    light = _LIGHT.search(page.split("</head>")[0])
    if light:
        return light[2].split()
    linked = [match[1].split("_static/")[1] for match in _SHEET.finditer(page.split("</head>")[0])]
    return linked + sorted({own_sheet(style) for _, style in _OWN_STYLE.findall(page)})


def own_sheet(style: str) -> str:
    return f"styles/figures-{hashlib.sha256(style.encode()).hexdigest()[:12]}.css"


def lighten_pages(app: Sphinx, exception: Exception | None) -> None:
    """Rewrite the pages of the site: those that this build has left alone get the new style sheet."""
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    static = folder / "_static"
    paths = [
        path for path in folder.rglob("*.html") if not path.relative_to(folder).as_posix().startswith("_")
    ]
    pages = {path: path.read_text("utf-8") for path in paths}
    for page in pages.values():
        for _, style in _OWN_STYLE.findall(page):
            (static / own_sheet(style)).write_text(style, "utf-8")
    # dict.fromkeys keeps the order; the page with most of them first, so that those of few come after.
    lists = sorted(map(sheets_of, pages.values()), key=len, reverse=True)
    sheets = dict.fromkeys(name for names in lists for name in names)
    quiet_theme(static)
    scripts = [path for path in static.rglob("*.js") if path.stat().st_size <= _LARGEST_SCRIPT]
    used = words_of(pages.values(), (script.read_text("utf-8") for script in scripts))
    style = icons_of(style_of(sheets, static, used), static)
    name = f"lean-{hashlib.sha256(style.encode()).hexdigest()[:12]}.css"
    for old in (static / "styles").glob("lean-*.css"):
        old.unlink()
    (static / "styles" / name).write_text(style, "utf-8")
    for path, page in pages.items():
        light = lightened(page, name=path.relative_to(folder).as_posix(), sheet=name)
        if light != page:
            path.write_text(light, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_css_file("lean.css")
    app.connect("build-finished", lighten_pages, priority=850)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
