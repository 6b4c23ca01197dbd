"""When a page may change: in the turn of its document where a server holds it, in the loop of the kernel in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import panel as pn

Act = Callable[[], None]


class Turns:
    """Runs what changes a page at the right time and sends the changes."""

    def __init__(self, fig: Any) -> None:
        self._fig = fig
        self._loop: asyncio.AbstractEventLoop | None = None
        self.view: pn.viewable.Viewable | None = None
        """What is sent."""

    def note(self) -> None:
        """Remember the loop that handles the page's events; called where one is handled."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def after(self, seconds: float, act: Act) -> None:
        """Run an act a little later; now where nothing runs on its own, as in a script."""
        document = self._document()
        if document is not None:
            document.add_timeout_callback(act, int(1000 * seconds))
        elif self._loop is not None:
            self._loop.call_later(seconds, self._soon, act)
        else:
            act()

    @property
    def waits(self) -> bool:
        """Whether something will run acts later."""
        return self._loop is not None or self._document() is not None

    def beside(self, work: Callable[[Callable[[Act], None]], None]) -> None:
        """Run long work in a thread; it gets a function that runs acts on the page in their turn."""
        if not self.waits:
            work(lambda act: act())
        else:
            threading.Thread(target=work, args=(self._soon,), daemon=True).start()

    def send(self) -> None:
        """Send what has changed to a notebook; a server does so by itself."""
        if self.view is not None and self._document() is None:
            pn.io.push_notebook(self.view)

    def _soon(self, act: Act) -> None:
        document = self._document()
        if document is not None:
            document.add_next_tick_callback(act)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._act, act)

    def _act(self, act: Act) -> None:
        act()
        self.send()

    def _document(self) -> Any:
        """Give the document if a server holds it."""
        document = self._fig.document
        return document if document is not None and document.session_context is not None else None
