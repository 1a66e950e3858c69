"""`python -m core run`: serve the app on the host and port in the settings; other commands are in `core.cli`."""

from __future__ import annotations

import os
import socket
import sys

from core.errors import SettingsError
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


def main(arguments: list[str]) -> int:
    """Run a command and return its exit status."""
    if arguments == ["worker"]:
        from core.worker import run_worker

        return run_worker()
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
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
