"""Who gets the processor: people before batches, and batches beside each other rather than one after the other."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from contextlib import suppress

MOST_BATCHES = 4
"""More would need more memory, and more pictures in hand."""


def batches_on(cores: int) -> int:
    """How many batches to work on at a time on so many cores: two to MOST_BATCHES, so that few cores have no work."""
    counts = range(min(2, cores), min(MOST_BATCHES, cores) + 1)
    return max(counts, key=lambda count: (count * (cores // count), count))


BATCHES = batches_on(os.cpu_count() or 1)
"""Batches that a model works on at a time where it has no processor of its own, each with a share of the cores. Cores
that work on one batch wait for the slowest of them after every layer, so that whatever else runs on one, such as the
decoding of the next pictures, holds up all."""

NICENESS = 10
"""On Linux a thread this nice gets a ninth of the time of one that is not, while both want the same core."""


def step_aside() -> None:
    """Make the calling thread, and the threads that it starts from now on, give way to all others of the process.

    Linux alone knows the priority of a thread; elsewhere this does nothing.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def keep_numpy_to_one_core() -> None:
    """Let numpy compute with the thread that calls it alone, in the whole process.

    The threads of its OpenBLAS spin for some 25 ms after each product of matrices, should another come. The scan that
    follows in the database, whose processes want the same cores, then took 50 ms where it takes 37.
    """
    import numpy  # noqa: F401  what is not loaded cannot be told
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def take_a_share() -> None:
    """Let the calling thread compute with a BATCHES-th of the cores, and step aside with them.

    Of OpenMP's threads every thread of a process may have a number of its own.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    step_aside()
    cores = torch.get_num_threads()  # at the first call torch sets it, too
    ThreadpoolController().limit(limits=max(1, cores // BATCHES), user_api="openmp")


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""The parameters of glibc's mallopt, from its <malloc.h>."""


KEPT = 512 << 20
"""Bytes: what is free beyond this at the end of the heap goes back to the system."""


OWN_MAPPING = 256 << 20
"""Bytes: larger pieces are got from the system, and go back to it. A batch of 32 pictures has layers of 160 MB."""


def keep_freed_memory() -> None:
    """Call this first in a process that runs a model, before it has threads. Without glibc it does nothing.

    Otherwise glibc gives each large tensor back to the system and gets the next one afresh, page by page: in batches of
    32 MobileNetV2 then encodes 63 pictures a second where it could encode 135 (in eights 76 and 113). One arena for
    all threads, since the others cannot grow beyond 64 MB; the process gets no larger by it.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, OWN_MAPPING)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_TOP_PAD, KEPT // 8)
