from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from core.database.connection import Database
from core.database.job_queue import PAIR_COPIES, Job, compare_job, count_processes, index_job, is_running, nudge

pytestmark = pytest.mark.pooled


def jobs(database: Database) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT task_name, queue_name, args, lock, status FROM procrastinate_jobs ORDER BY id"
        ).fetchall()


def ask(database: Database, *wanted: Job) -> None:
    with database.connection() as connection:
        for job in wanted:
            nudge(connection, job)


def take(database: Database, worker: int) -> str | None:
    """Take the next job, as a worker does; returns its task."""
    with database.connection() as connection:
        ((task,),) = connection.execute(
            "SELECT task_name FROM procrastinate_fetch_job_v2(NULL, %s)", (worker,)
        ).fetchall()
        return None if task is None else str(task)


def register(database: Database) -> int:
    with database.connection() as connection:
        ((id,),) = connection.execute("SELECT * FROM procrastinate_register_worker_v1()").fetchall()
        return int(id)


def test_of_a_kind_and_what_it_is_done_on_only_one_waits(database: Database) -> None:
    ask(database, index_job(7), index_job(8), index_job(7), PAIR_COPIES, PAIR_COPIES)
    assert jobs(database) == [
        ("index", "imports", {"import_id": 7}, None, "todo"),
        ("index", "imports", {"import_id": 8}, None, "todo"),
        ("pair_copies", "upkeep", {}, "pair_copies", "todo"),
    ]


def test_a_nudge_is_part_of_its_transaction(database: Database) -> None:
    class _Regret(Exception):
        pass

    with pytest.raises(_Regret), database.connection() as connection:
        nudge(connection, PAIR_COPIES)
        raise _Regret
    assert jobs(database) == []


def test_two_that_ask_at_once_do_no_harm_to_each_other(database: Database) -> None:
    """The second waits for the first one's transaction, is refused, and keeps what else it has done."""

    def second() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO imports (name) VALUES ('second')")
            nudge(connection, PAIR_COPIES)

    thread = threading.Thread(target=second)
    with database.connection() as connection:
        nudge(connection, PAIR_COPIES)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()
    assert len(jobs(database)) == 1
    with database.connection() as connection:
        assert connection.execute("SELECT name FROM imports").fetchall() == [("second",)]


def test_an_exclusive_job_waits_for_the_one_that_runs(database: Database) -> None:
    job, worker = compare_job(3), register(database)
    ask(database, job)
    assert take(database, worker) == "compare"
    ask(database, job)
    assert len(jobs(database)) == 2
    assert take(database, worker) is None
    with database.connection() as connection:
        assert is_running(connection, job)
        assert not is_running(connection, compare_job(4))
        assert count_processes(connection) == 1
        connection.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
        assert not is_running(connection, job)
        assert count_processes(connection) == 0


def test_trouble_with_the_database_is_told_as_such(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedFunction), database.connection() as connection:
        connection.execute("DROP FUNCTION procrastinate_defer_jobs_v1")
        nudge(connection, PAIR_COPIES)
