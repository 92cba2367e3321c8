"""What page_promises.py says of every page, of a third of the pages."""

from page_promises import *  # noqa: F403

SHARE = 2
