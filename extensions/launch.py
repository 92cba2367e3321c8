"""Buttons that open a chapter in Colab or Binder, once ``_config.yml`` names the repository's address.

Colab opens the notebook that was laid beside the page, from the branch that the site is published on
(`.github/workflows/pages.yml`): the sources are MyST, which Colab cannot open. Binder makes a machine from
``binder/`` at the commit that was built, and opens the source itself. The theme's own launch buttons are not
used: they lead Colab to the source.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, urlsplit

from portable_notebook import repository, revision
from sphinx.application import Sphinx

PUBLISHED = "gh-pages"
"""The branch that the workflow publishes the site on, with a folder for each version."""


def addresses(url: str, *, docname: str, rev: str, version: str) -> dict[str, str]:
    """Where each service opens a chapter of the book whose repository is at ``url``."""
    host, path = urlsplit(url).netloc, urlsplit(url).path.strip("/")
    opens = f"?urlpath=lab/tree/{quote(docname)}.md"
    if host != "github.com":
        return {"Binder": f"https://mybinder.org/v2/git/{quote(url, safe='')}/{quote(rev, safe='')}{opens}"}
    notebook = f"{PUBLISHED}/{quote(version)}/_sources/{quote(docname)}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{path}/blob/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh/{path}/{quote(rev, safe='')}{opens}",
    }


def offer_launch(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the group of buttons into the header of a page that has code."""
    url = repository(app)
    if url is None or doctree is None or "kernelspec" not in app.env.metadata[pagename]:
        return
    links = addresses(
        url, docname=pagename, rev=revision(app), version=os.environ.get("BOOK_VERSION", "latest")
    )
    icons = {"Colab": "_static/images/logo_colab.png", "Binder": "_static/images/logo_binder.svg"}
    buttons = [
        {"type": "link", "text": name, "tooltip": f"Open in {name}", "icon": icons[name], "url": link}
        for name, link in links.items()
    ]
    context["header_buttons"].insert(
        0,
        {
            "type": "group",
            "buttons": buttons,
            "icon": "fas fa-rocket",
            "tooltip": "Run this page elsewhere",
            "label": "launch-buttons",
        },
    )


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", offer_launch, priority=502)  # the theme has made its list by then
    return {"parallel_read_safe": True, "parallel_write_safe": True}
