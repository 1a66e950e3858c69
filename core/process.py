"""CPU and memory of the process: people come before batches, and several batches run side by side."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading
from contextlib import suppress
from pathlib import Path

MOST_BATCHES = 4
"""More batches would need more memory and more loaded pictures."""


def batches_on(cores: int) -> int:
    """How many batches to run at a time on that many cores: two to MOST_BATCHES, with the fewest idle cores."""
    counts = range(min(2, cores), min(MOST_BATCHES, cores) + 1)
    return max(counts, key=lambda count: (count * (cores // count), count))


BATCHES = batches_on(os.cpu_count() or 1)
"""Batches that a model runs at a time on the CPU, each with a share of the cores. Cores that share a batch wait for the
slowest of them after every layer, so anything else that runs on one core, such as decoding, delays all of them."""

NICENESS = 10
"""On Linux a thread this nice gets a ninth of the time of a normal one competing for the same core."""


@functools.cache
def memory_limit() -> int:
    """The memory in bytes that this process may use: the machine's, or its container's if that is less."""
    import psutil

    limits = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):  # cgroup 2 and 1
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def step_aside() -> None:
    """Lower the priority of the calling thread, and of the threads that it starts from now on.

    Only Linux has priorities per thread; elsewhere this does nothing.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def keep_numpy_to_one_core() -> None:
    """Make numpy compute on the calling thread only, in the whole process.

    OpenBLAS's threads spin for about 25 ms after each matrix product, in case another follows. That slowed the scan
    that follows in the database, on the same cores, from 37 to 50 ms.
    """
    import numpy  # noqa: F401  it must be loaded to be limited
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def take_a_share() -> None:
    """Limit the calling thread to 1 / BATCHES of the cores, at low priority.

    OpenMP's number of threads is set per calling thread.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    step_aside()
    cores = torch.get_num_threads()  # the first call also sets it
    ThreadpoolController().limit(limits=max(1, cores // BATCHES), user_api="openmp")


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""The parameters of glibc's mallopt, from its <malloc.h>."""


KEPT = 512 << 20
"""Bytes: free memory beyond this at the end of the heap is returned to the system."""


OWN_MAPPING = 256 << 20
"""Bytes: larger blocks are mapped and returned one by one. A batch of 32 pictures has layers of 160 MB."""


def keep_freed_memory() -> None:
    """Make glibc reuse large blocks. Call it first in a process that runs a model, before there are other threads.

    Otherwise glibc returns each large tensor to the system and maps the next one page by page: MobileNetV2 then encodes
    63 pictures per second instead of 135 in batches of 32, and 76 instead of 113 in batches of 8. All threads share one
    arena, since other arenas cannot grow beyond 64 MB; the process does not get larger. Without glibc this does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, OWN_MAPPING)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, KEPT // 8)
