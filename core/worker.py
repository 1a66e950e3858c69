"""`python -m core worker`: works on the jobs of the queue without the pages."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from core.database.error_messages import check_url
from core.engine import Engine
from core.errors import DatabaseError, SettingsError
from core.process import keep_freed_memory
from core.settings import load_settings


def run_worker() -> int:
    """Run a worker alone, until SIGTERM or SIGINT lets it finish its batch and leave.

    Returns the exit status: 1, after a sentence, when a setting is wrong or the model cannot be loaded.
    """
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
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
