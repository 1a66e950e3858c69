"""`python -m core run` serves the app, `python -m core worker` does its background work; the rest is `core.cli`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

from core.errors import DatabaseError, SettingsError
from core.process import keep_freed_memory
from core.settings import Settings, load_settings


def port_is_free(host: str, port: int) -> bool:
    """Whether a server can listen on that IP address and port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def serve(settings: Settings) -> None:
    """Replace this process with the server. Does not return."""
    command = [
        *(sys.executable, "-m", "streamlit", "run", "streamlit_app.py"),
        *("--server.address", settings.host, "--server.port", str(settings.port)),
        *("--server.maxUploadSize", str(max(1, round(settings.max_file_mb)))),
    ]
    os.execv(sys.executable, command)  # noqa: S606


def work() -> int:
    """Run a worker alone, until SIGTERM or SIGINT lets it finish its batch and leave.

    Returns the exit status: 1, after a sentence, when a setting is wrong or the model cannot be loaded.
    """
    from core.database.error_messages import check_url  # `run` becomes another process, and needs none of it
    from core.engine import Engine

    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger().addFilter(lambda record: record.levelno >= logging.WARNING)  # open_clip logs there
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it says three lines of every job
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        engine = Engine(load_settings(workers=1))
        check_url(engine.database.conninfo)
    except (SettingsError, DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    engine.start()
    while not stop.wait(0.5) and engine.model_state.state != "failed":
        pass
    failed = engine.model_state.state == "failed"  # the loader has logged why
    engine.close()
    return int(failed)


def main(arguments: list[str]) -> int:
    """Run a command and return its exit status."""
    if arguments == ["worker"]:
        status = work()
        logging.shutdown()
        # The engine is closed. What is left is memory, and to have the interpreter clear PyTorch away takes seconds,
        # in which whoever asked the worker to stop may lose patience.
        os._exit(status)
    if arguments != ["run"]:
        from core.cli import run_command  # not needed by the app itself

        return run_command(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    if not port_is_free(settings.host, settings.port):
        print(
            f"Port {settings.port} on {settings.host} is in use, perhaps by another Lookalike. "
            f"Close that, or choose another port: PORT={settings.port + 1} make run",
            file=sys.stderr,
        )
        return 1
    if not settings.is_local and not settings.allowed_hosts:
        print(
            f"HOST={settings.host} opens Lookalike to others. It answers to IP addresses and to localhost only: to "
            "reach it by a name, set ALLOWED_HOSTS to that name.",
            file=sys.stderr,
        )
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
