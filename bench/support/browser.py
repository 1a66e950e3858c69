"""The Chromium that tests, benchmarks and the README's pictures drive."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Playwright, expect

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine; a wait that succeeds ends sooner."""

expect.set_options(timeout=PATIENCE)


def executable() -> Path | None:
    """The system's Chromium where there is one; None stands for what `playwright install chromium` brought."""
    return CHROMIUM if CHROMIUM.exists() else None


def launch(play: Playwright) -> Browser:
    """A running browser without a window."""
    return play.chromium.launch(args=FLAGS, executable_path=executable())
