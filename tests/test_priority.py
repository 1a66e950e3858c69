from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.priority import NICENESS, step_aside


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the priority of a thread")
def test_a_thread_and_those_it_starts_step_aside_and_no_others() -> None:
    before = niceness()
    started = list[int]()

    def work() -> int:
        child = threading.Thread(target=lambda: started.append(niceness()))
        child.start()
        child.join()
        return niceness()

    with ThreadPoolExecutor(1, initializer=step_aside) as threads:
        assert threads.submit(work).result() == max(NICENESS, before)
    assert started == [max(NICENESS, before)]
    assert niceness() == before
