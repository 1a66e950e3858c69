"""The obvious first implementation: get, open, encode as in open_clip's README, insert, commit; one by one."""

from __future__ import annotations

import io
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx2
import open_clip
import psycopg
import torch
from pgvector.psycopg import register_vector
from PIL import Image

_loaded: list[Any] = []
"""The model and its preprocessing, in the loop's own process."""


def plain_loop(clip_model: str) -> ProcessPoolExecutor:
    """A process for `pictures_per_second`, which has no setting of ours."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _load, (clip_model,))


def _load(clip_model: str) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(clip_model)
    _loaded[:] = [model.eval(), preprocess]


def pictures_per_second(conninfo: str, urls: list[str]) -> float:
    """Index URLs into a table of its own."""
    model, preprocess = _loaded
    with psycopg.connect(conninfo) as connection:
        register_vector(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS plain (url text PRIMARY KEY, embedding vector(512))")
        begun = time.perf_counter()
        for url in urls:
            picture = Image.open(io.BytesIO(httpx2.get(url).content)).convert("RGB")
            with torch.no_grad():
                features = model.encode_image(preprocess(picture).unsqueeze(0))
                features /= features.norm(dim=-1, keepdim=True)
            connection.execute("INSERT INTO plain VALUES (%s, %s)", (url, features[0].numpy()))
            connection.commit()
        return len(urls) / (time.perf_counter() - begun)
