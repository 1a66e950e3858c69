"""A real Chromium, and Streamlit servers for it to visit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from bench.support.browser import FLAGS, PATIENCE, executable
from bench.support.host import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60

StartServer = Callable[..., str]


@pytest.fixture(scope="module")
def context_for(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """One context for equal options: its cache spares each test the load of Streamlit's own scripts."""
    contexts: dict[str, BrowserContext] = {}

    def context(**options: Any) -> BrowserContext:
        name = repr(sorted(options.items()))
        if name not in contexts:
            contexts[name] = browser.new_context(**options)
        return contexts[name]

    yield context
    for opened in contexts.values():
        opened.close()


@pytest.fixture
def context(
    context_for: Callable[..., BrowserContext], browser_context_args: dict[str, Any]
) -> Iterator[BrowserContext]:
    """A visitor who is patient, and new but for what the browser has cached."""
    context = context_for(**browser_context_args)
    context.set_default_timeout(PATIENCE)
    yield context
    for page in context.pages:
        _forget(page)
        page.close()
    context.clear_cookies()
    context.clear_permissions()


def _forget(page: Page) -> None:
    if page.url.startswith("http"):
        session = page.context.new_cdp_session(page)
        kinds = "local_storage,indexeddb"
        session.send("Storage.clearDataForOrigin", {"origin": page.url, "storageTypes": kinds})


@pytest.fixture
def new_page(context_for: Callable[..., BrowserContext]) -> Iterator[Callable[..., Page]]:
    """`new_page(viewport=…)` opens an empty page in such a context; a script error on it fails the test."""
    pages: list[Page] = []
    errors: list[str] = []

    def open_page(**options: Any) -> Page:
        page = context_for(**options).new_page()
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """What `launch` launches."""
    return {**browser_type_launch_args, "args": FLAGS, "executable_path": executable()}


@pytest.fixture(scope="session")
def streamlit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """`streamlit_server(script, env)` starts `streamlit run script` and returns its URL once it is healthy."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(script: Path, env: dict[str, str] | None = None) -> str:
        port = free_port()
        log = tmp_path_factory.mktemp("streamlit") / "server.log"
        options = {
            "server.port": port,
            "server.address": "127.0.0.1",
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
            "client.toolbarMode": "minimal",
        }
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(script)]
                + [f"--{name}={value}" for name, value in options.items()],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        servers.append(server)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(url):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{script.name} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)
        return url

    yield start
    for server in servers:
        server.terminate()
    for server in servers:
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
