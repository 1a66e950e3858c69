"""Who may call the HTTP routes: the API token, and signed addresses of thumbnails and files that need none."""

from __future__ import annotations

import hmac

from core.settings import Settings

LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]


def has_token(settings: Settings, authorization: str | None) -> bool:
    """Whether an Authorization header carries the API token; always True when none is set."""
    if settings.api_token is None:
        return True
    expected = f"Bearer {settings.api_token.get_secret_value()}"
    return hmac.compare_digest((authorization or "").encode(), expected.encode())


def allowed_hosts(settings: Settings) -> list[str]:
    """The Host headers to answer to, against DNS rebinding: a foreign site's name that points at this machine."""
    named = [host.strip() for host in settings.allowed_hosts.split(",") if host.strip()]
    if named:
        return named
    return LOOPBACK_NAMES if settings.host in ("127.0.0.1", "::1", "localhost") else ["*"]
