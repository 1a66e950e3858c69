"""The embedded Postgres, with real servers and real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.pq import PGconn, Ping

import core.database.embedded_server
from bench.support.host import short_folder
from core.database.embedded_server import EmbeddedPostgres
from core.errors import DatabaseError

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data_dir whose server has run once and is stopped."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        server.stop()
        yield folder


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A data_dir without a cluster. A server that a test leaves there is stopped."""
    with short_folder() as folder:
        yield folder
        with suppress(OSError, psutil.NoSuchProcess):
            server = postmaster(folder)
            server.send_signal(signal.SIGINT)
            server.wait(30)


@pytest.fixture
def data_dir(cluster: Path, empty_dir: Path) -> Path:
    """A data_dir with a cluster, of the test's own."""
    subprocess.run(["cp", "-a", f"{cluster}/postgres", str(empty_dir)], check=True)
    return empty_dir


def ping(data_dir: Path) -> int:
    return PGconn.ping(EmbeddedPostgres(data_dir).conninfo.encode())


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that has `server`, not yet started, on the data_dir that is its first argument."""
    head = (
        "import os, signal, sys, psycopg\nfrom pathlib import Path\n"
        "from core.database.embedded_server import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def stranger(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us, of the user whom a signal of the server would reach."""
    owner = (data_dir / "postgres").stat().st_uid if AS_ROOT else None
    process = subprocess.Popen(["sleep", "600"], user=owner)
    yield process
    process.kill()
    process.wait()


def test_starts_answers_and_stops(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    with psycopg.connect(server.start()) as connection:
        assert connection.info.server_version // 10000 == core.database.embedded_server.VERSION
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    server.stop()
    assert ping(data_dir) == Ping.NO_RESPONSE
    server.stop()


def test_a_stale_pid_file_never_harms_a_stranger(data_dir: Path, stranger: subprocess.Popen[bytes]) -> None:
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (data_dir / "postgres" / name).write_text(
            f"{stranger.pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/postgres\n\n  1  2\nready   \n"
        )
    server = EmbeddedPostgres(data_dir)
    server.start()
    (data_dir / "postgres" / "postmaster.pid").rename(data_dir / "kept")
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n")
    server.stop()
    assert stranger.poll() is None
    (data_dir / "kept").rename(data_dir / "postgres" / "postmaster.pid")
    assert postmaster(data_dir).name() == "postgres"


def test_damaged_pid_and_lock_files_heal(data_dir: Path) -> None:
    for text in ("", "12", "gibberish\n", "99999999999999999999\n/nowhere\n"):
        for name in ("postgres/postmaster.pid", "postgres/.s.PGSQL.5432.lock", "postgres.users", "postgres.lock"):
            (data_dir / name).write_text(text)
        server = EmbeddedPostgres(data_dir)
        server.start()
        assert ping(data_dir) == Ping.OK
        server.stop()
        assert ping(data_dir) == Ping.NO_RESPONSE


def test_a_dead_server_is_started_again_when_its_last_children_have_left(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()

    started = threading.Event()

    def be_busy() -> None:
        with suppress(psycopg.OperationalError), psycopg.connect(server.conninfo) as connection:
            connection.execute("SELECT 1")
            started.set()
            connection.execute("SELECT count(*) FROM generate_series(1, 8000000) a")

    busy = threading.Thread(target=be_busy)
    busy.start()
    started.wait()
    postmaster(data_dir).kill()
    server.ensure_running()
    busy.join()
    assert ping(data_dir) == Ping.OK
    assert "shared memory block" in (data_dir / "postgres" / "server.log").read_text()
    server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_a_zombie_counts_as_dead(data_dir: Path) -> None:
    """As in a container whose first process reaps nothing."""
    child = python(
        """
        import ctypes, time
        import psutil
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
        server.start()
        zombie = psutil.Process(int((server.pgdata / "postmaster.pid").read_text().split()[0]))
        zombie.kill()
        while zombie.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        server.ensure_running()
        psycopg.connect(server.conninfo).close()
        """,
        data_dir,
    )
    _, told = child.communicate(timeout=60)
    assert (child.returncode, told) == (0, "")
    assert ping(data_dir) == Ping.NO_RESPONSE


@pytest.mark.parametrize("server_dies_too", [False, True])
def test_no_acknowledged_row_is_lost_when_the_owner_is_killed(data_dir: Path, server_dies_too: bool) -> None:
    child = python(
        """
        with psycopg.connect(server.start(), autocommit=True) as connection:
            connection.execute("CREATE TABLE acknowledged (n integer)")
            for n in range(1_000_000):
                connection.execute("INSERT INTO acknowledged VALUES (%s)", (n,))
                print(n, flush=True)
        """,
        data_dir,
    )
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 200:
                child.kill()
                break
        if server_dies_too:
            postmaster(data_dir).kill()
        told = [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    last = max([200, *told])

    server = EmbeddedPostgres(data_dir)
    with psycopg.connect(server.start()) as connection:
        row = connection.execute("SELECT count(*) FROM acknowledged WHERE n <= %s", (last,)).fetchone()
    assert row == (last + 1,)
    server.stop()
    assert ping(data_dir) == Ping.NO_RESPONSE


def test_two_processes_share_one_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    process = postmaster(data_dir)
    child = python(
        """
        server.start()
        print("started", flush=True)
        sys.stdin.readline()
        psycopg.connect(server.conninfo).close()
        """,
        data_dir,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        server.stop()
        assert postmaster(data_dir) == process
        _, told = child.communicate("go on\n", timeout=60)
    assert (child.returncode, told) == (0, "")
    assert ping(data_dir) == Ping.NO_RESPONSE


def test_two_processes_may_make_the_cluster_at_once(empty_dir: Path) -> None:
    children = [python("psycopg.connect(server.start()).close()", empty_dir) for _ in range(2)]
    outcomes = [(child.communicate(timeout=60)[1], child.returncode) for child in children]
    assert outcomes == [("", 0), ("", 0)]


def test_a_path_may_hold_spaces_and_quotes(data_dir: Path) -> None:
    odd = data_dir / """Anna's "first" $(own) 100 %"""
    odd.mkdir()
    (data_dir / "postgres").rename(odd / "postgres")
    server = EmbeddedPostgres(odd)
    psycopg.connect(server.start()).close()
    server.stop()
    assert ping(odd) == Ping.NO_RESPONSE


def test_a_path_too_long_is_refused(empty_dir: Path) -> None:
    with pytest.raises(DatabaseError, match=r"too long.*set DATA_DIR to a shorter one"):
        EmbeddedPostgres(empty_dir / ("x" * 100)).start()


def test_a_path_with_a_comma_is_refused(empty_dir: Path) -> None:
    with pytest.raises(DatabaseError, match="contains a comma"):
        EmbeddedPostgres(empty_dir / "a,b").start()


def test_a_closed_folder_is_refused_and_stays_closed(empty_dir: Path) -> None:
    closed = empty_dir / "closed"
    closed.mkdir(mode=0o700 if AS_ROOT else 0o500)
    before = closed.stat().st_mode
    with pytest.raises(DatabaseError, match="outside root's own" if AS_ROOT else "fix its permissions"):
        EmbeddedPostgres(closed / "data").start()
    assert closed.stat().st_mode == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be used: Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_the_database_of_another_postgres_and_a_folder_without_one_are_refused(empty_dir: Path) -> None:
    (empty_dir / "postgres").mkdir()
    with pytest.raises(DatabaseError, match="does not hold a database"):
        EmbeddedPostgres(empty_dir).start()
    (empty_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match="made by Postgres 16, but this is Postgres 18"):
        EmbeddedPostgres(empty_dir).start()


def test_a_damaged_database_is_a_sentence(data_dir: Path) -> None:
    (data_dir / "postgres" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(DatabaseError, match=r"did not start: .*pg_control"):
        EmbeddedPostgres(data_dir).start()


@pytest.fixture
def small_disk(empty_dir: Path) -> Iterator[Path]:
    """A real disk of 120 MB, where mounting is allowed."""
    disk = empty_dir / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m,mode=755", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_nearly_full_disk_is_refused(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.database.embedded_server, "MIN_FREE_BYTES", shutil.disk_usage(empty_dir).free + 10**12)
    with pytest.raises(DatabaseError, match=r"MB free, but the database needs .* free some space"):
        EmbeddedPostgres(empty_dir).start()


@pytest.mark.skipif(not AS_ROOT, reason="only root may make a small disk")
def test_a_disk_too_small_is_refused(small_disk: Path) -> None:
    with pytest.raises(DatabaseError, match="126 MB free, but the database needs 200 MB"):
        EmbeddedPostgres(small_disk).start()


@pytest.mark.skipif(not AS_ROOT, reason="only root may make a small disk")
def test_a_disk_that_fills_while_the_cluster_is_made(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.database.embedded_server, "MIN_FREE_BYTES", 0)
    (small_disk / "hog").write_bytes(bytes(110_000_000))
    with pytest.raises(DatabaseError, match="is full, so the database cannot start"):
        EmbeddedPostgres(small_disk).start()
    (small_disk / "hog").unlink()
    server = EmbeddedPostgres(small_disk)
    psycopg.connect(server.start()).close()
    server.stop()


def test_an_interrupted_initdb_leaves_nothing_in_the_way(empty_dir: Path) -> None:
    (empty_dir / "postgres.new").mkdir()
    (empty_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(empty_dir)
    psycopg.connect(server.start()).close()
    server.stop()
