"""The parts of the app as the benchmarks need them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.support.data import MODEL_SETTING
from core.embedding.copy_encoder import OFF
from core.engine import Engine
from core.indexing.imports import Import
from core.media.urls import key_of
from core.settings import Settings

START_SECONDS = 120.0


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that the embedded server's user may enter."""
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@contextmanager
def random_vit() -> Iterator[str]:
    """The CLIP_MODEL of a ViT-B-32 with random weights: as fast as a trained one."""
    import open_clip
    from safetensors.torch import save_file

    with folder() as path:
        model = open_clip.create_model("ViT-B-32", pretrained_text=False)
        config = {
            "model_cfg": open_clip.get_model_config("ViT-B-32"),
            "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
        }
        (path / "open_clip_config.json").write_text(json.dumps(config))
        save_file(model.state_dict(), path / "open_clip_model.safetensors")
        del model
        yield f"local-dir:{path}"


@contextmanager
def running_engine(clip_model: str = MODEL_SETTING, copy_model: str = OFF) -> Iterator[Engine]:
    """The whole engine with an embedded Postgres of its own, ready to work; the copy model may still be loading."""
    with folder() as path:
        settings = Settings(
            _env_file=None, data_dir=path, clip_model=clip_model, copy_model=copy_model, allow_private_urls=True
        )
        engine = Engine(settings)
        engine.start()
        try:
            engine.wait_until_ready(START_SECONDS)
            while engine.worker is None or engine.worker.state != "running":
                time.sleep(0.05)
            yield engine
        finally:
            engine.close()


def index(engine: Engine, urls: Sequence[str]) -> tuple[float, Import]:
    """Import URLs. Returns how many seconds it took from the order until the last item's end, and the import."""
    begun = time.perf_counter()
    entry = engine.imports.submit("bench", [(key_of(url), url) for url in urls])
    while not entry.done:
        time.sleep(0.25)
        entry = engine.imports.read(entry.id)
    return time.perf_counter() - begun, entry
