"""A real PgBouncer in transaction mode, as managed Postgres services put one in front."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from core.database.embedded_server import EmbeddedPostgres

PROGRAM = "/usr/sbin/pgbouncer"


@contextmanager
def pgbouncer(
    server: EmbeddedPostgres, port: int, pool_size: int = 2, *, secure: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a PgBouncer on 127.0.0.1:port for all databases of `server`; `pooled_url` makes URLs for it.

    All clients of a database share `pool_size` server connections. A `secure` one refuses clients without TLS, and
    its certificate is known to nobody.
    """
    owner = server.pgdata.stat()
    folder = server.data_dir / f"pgbouncer-{port}"
    folder.mkdir(exist_ok=True)
    config = folder / "pgbouncer.ini"
    config.write_text(
        "[databases]\n"
        f"* = host={server.pgdata} port=5432 user=postgres\n"
        "[pgbouncer]\n"
        "pool_mode = transaction\n"
        f"default_pool_size = {pool_size}\n"
        "auth_type = any\n"
        "unix_socket_dir =\n"
        "listen_addr = 127.0.0.1\n"
        f"listen_port = {port}\n" + (_tls(folder, owner) if secure else "")
    )
    as_owner: dict[str, Any] = (
        {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with (folder / "pgbouncer.log").open("w+") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen([PROGRAM, str(config)], stdout=log, stderr=log, **as_owner)
        try:
            _wait_until_listening(process, port)
            yield process
        finally:
            process.kill()
            process.wait()


def pooled_url(url: str, port: int, sslmode: str = "prefer") -> str:
    """The URL, through the PgBouncer on that port, of the database that `url` names directly."""
    return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}?sslmode={sslmode}"


def _tls(folder: Path, owner: os.stat_result) -> str:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = trustme.CA().issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, owner.st_uid, owner.st_gid)
    return f"client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("PgBouncer does not listen")
