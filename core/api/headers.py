"""What browsers are told with every answer, and which Host headers are answered."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.access import allowed_hosts
from core.settings import Settings

POLICY = "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
"""No plug-ins, no other base for links, no forms to elsewhere, and no frames in the pages of others."""


class SafeHeaders:
    """Adds the headers, unless an answer has its own of that name."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": f"{POLICY} {settings.embedded_by}".strip(),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }
        if not settings.embedded_by:
            self._headers["X-Frame-Options"] = "SAMEORIGIN"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers."""

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, safe if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses Host headers that name another site, against DNS rebinding: a stranger's page whose name leads here."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = [name.lower() for name in allowed_hosts(settings)]
        self._any_address = not settings.allowed_hosts and not settings.is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse the Host."""
        if scope["type"] not in ("http", "websocket") or self._is_known(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Invalid host header", 400)(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host).lower()
        if (
            "*" in self._names
            or name in self._names
            or any(known.startswith("*.") and name.endswith(known[1:]) for known in self._names)
        ):
            return True
        return self._any_address and is_ip_address(name)


def is_ip_address(name: str) -> bool:
    """Whether a Host is an address in numbers, which no name server can make lead elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
