"""People before batches: what works in the background leaves the processor to whoever waits for an answer."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

NICENESS = 10
"""On Linux a thread this nice gets a ninth of the time of one that is not, while both want the same core."""


def step_aside() -> None:
    """Make the calling thread, and the threads that it starts from now on, give way to all others of the process.

    Linux alone knows the priority of a thread; elsewhere this does nothing.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
