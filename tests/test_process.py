from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image

from bench.support.data import MODEL_SETTING
from core.embedding.encoder import load_encoder
from core.process import BATCHES, NICENESS, batches_on, step_aside, take_a_share


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


def test_a_thread_with_a_share_of_the_cores_leaves_the_others_theirs() -> None:
    def cores() -> int:
        return torch.get_num_threads()

    with ThreadPoolExecutor(1, initializer=take_a_share) as sharing, ThreadPoolExecutor(1) as others:
        before = others.submit(cores).result()
        assert sharing.submit(cores).result() == max(1, before // BATCHES)
        assert others.submit(cores).result() == cores() == before
    with ThreadPoolExecutor(1) as new:
        assert new.submit(cores).result() == before


@pytest.mark.parametrize(
    ("cores", "batches"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 3), (7, 3), (8, 4), (9, 3), (10, 2), (16, 4)]
)
def test_batches_leave_few_cores_without_work(cores: int, batches: int) -> None:
    assert batches_on(cores) == batches


def test_batches_run_beside_each_other_and_a_query_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(MODEL_SETTING)
    batch = encoder.batch
    all_there = threading.Barrier(BATCHES + 1, timeout=30)

    def waits_for_all(rows: Any) -> torch.Tensor:
        all_there.wait()
        return batch(rows)

    monkeypatch.setattr(encoder, "batch", waits_for_all)
    prepared = [encoder.prepare(Image.new("RGB", (64, 64)))]
    with ThreadPoolExecutor(BATCHES + 2) as threads:
        batches = [threads.submit(encoder.encode_prepared, prepared) for _ in range(BATCHES)]
        query = threads.submit(encoder.encode_prepared, prepared, urgent=True)
        vectors = [future.result(60) for future in [*batches, query]]
        assert {vector.shape for vector in vectors} == {(1, encoder.dim)}


def test_a_batch_too_many_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(MODEL_SETTING)
    begun, go, batch = threading.Semaphore(0), threading.Event(), encoder.batch

    def waits(rows: Any) -> torch.Tensor:
        begun.release()
        go.wait(30)
        return batch(rows)

    monkeypatch.setattr(encoder, "batch", waits)
    prepared = [encoder.prepare(Image.new("RGB", (64, 64)))]
    with ThreadPoolExecutor(BATCHES + 1) as threads:
        batches = [threads.submit(encoder.encode_prepared, prepared) for _ in range(BATCHES + 1)]
        for _ in range(BATCHES):
            assert begun.acquire(timeout=30)
        assert not begun.acquire(timeout=0.3)
        go.set()
        assert all(future.result(60).shape == (1, encoder.dim) for future in batches)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back at once")
def test_freed_memory_stays_with_the_process() -> None:
    script = """if True:
        import resource, sys, threading
        from core.process import keep_freed_memory
        if "keep" in sys.argv:
            keep_freed_memory()
        def work():
            for _ in range(20):
                bytearray(100_000_000)
        threads = [threading.Thread(target=work)]
        threads[0].start(); threads[0].join()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        """
    faults = [
        int(subprocess.run([sys.executable, "-c", script, word], check=True, capture_output=True, text=True).stdout)
        for word in ("keep", "give")
    ]
    assert faults[0] < faults[1] / 4
