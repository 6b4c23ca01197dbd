"""What `explore` returns: a page for every place where it is shown."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

import panel as pn
from bokeh.resources import INLINE

from xsentinel.explore.page import Content, Page


class Explorer(pn.viewable.Viewer):
    """An interactive map: shows itself in a notebook; ``.servable()``, ``.show()`` and ``.save("map.html")`` elsewhere.

    Every notebook cell, browser window and file gets a page with a state of its own.
    """

    def __init__(self, content: Content) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._content = content

    def page(self) -> Page:
        """Make a page of its own, of which ``.view`` is what panel shows."""
        return Page(self._content)

    def __panel__(self) -> pn.viewable.Viewable:
        """Give what is shown in one place."""
        return self.page().view

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Write a page to a file that needs neither Python nor a network: the first view, to zoom and point at, without menus.

        Parameters
        ----------
        path : str or path
            Of an HTML file.
        **options
            As `panel.viewable.Viewable.save`, such as ``title``; ``resources=bokeh.resources.CDN`` leaves 3 MB of libraries
            out of the file, to be loaded from the web.
        """
        page = self.page()
        page.finish()
        pn.Row(page.plot, page.legend).save(fspath(path), **{"resources": INLINE, **options})
