"""Pasting and dropping pictures, and URLs of pictures, anywhere on a page that has one file uploader: `paste.html`,
`.css` and `.js`."""

from __future__ import annotations

from collections.abc import Callable

from core.ui.components.base import component
from core.ui.components.events import handle_events, handled_events, no_callback

_component = component("paste")
_KEY = "paste-anywhere"


def read_lists_as_pasted() -> None:
    """Make the page take a text as soon as it is pasted into a text area, without Ctrl+Enter."""
    _component(key="paste-lists", data={"invitation": "", "handled": {}}, height=1, on_given_change=no_callback)


def paste_anywhere(invitation: str, on_url: Callable[[str], None]) -> bool:
    """Make the page take what is pasted or dropped anywhere: pictures for its file uploader, and URLs, with which
    `on_url` is called. `invitation` shows while something is dragged over the page.

    Returns whether a URL came in during this run rather than before it: then run again.
    """

    def take() -> bool:
        return handle_events(_KEY, "given", lambda url, _: on_url(url))

    late = take()
    _component(
        key=_KEY,
        data={"invitation": invitation, "handled": handled_events(_KEY)},
        height=1,
        on_given_change=take,
    )
    return late
