"""Files of the Hugging Face hub: taken from its cache on this computer, else downloaded into it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# The library reads these when it is imported. Plain HTTPS passes proxies, resumes after a cut and tells its progress,
# and nobody need hear who downloads what for whom.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from huggingface_hub import (
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from core.errors import EncoderError

OnDownloadProgress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be, or None when that is unknown."""

TIMEOUT_SECONDS = 15.0
"""Seconds for the hub's first answer, all addresses of its name and the look-up of that name included."""

_LOCAL = "set CLIP_MODEL=local-dir:FOLDER to a model that lies on this computer"


def fetch(repository: str, names: Sequence[str], on_progress: OnDownloadProgress) -> Path:
    """The path of the first of `names` that `repository` (ORGANISATION/NAME) has.

    A file in the cache is taken without asking the hub. Raises EncoderError, and whatever `on_progress` raises.
    """
    try:
        cached = [try_to_load_from_cache(repository, name) for name in names]
    except HFValidationError:
        raise EncoderError(
            f"“{repository}” is no name of a model on the hub: CLIP_MODEL=hf-hub: needs ORGANISATION/NAME."
        ) from None
    for path in cached:
        if isinstance(path, str):
            return Path(path)
    for name in names:
        try:
            metadata = _ask(repository, name)
        except EntryNotFoundError:
            continue
        if metadata.commit_hash is None:
            raise _unreachable("what answers there is no model hub")
        return _download(repository, name, metadata.size, on_progress)
    raise EncoderError(
        f"{repository} on the model hub has no file {' or '.join(names)}, so it is no open_clip model: "
        "choose another CLIP_MODEL."
    )


def is_cached(repository: str, names: Sequence[str]) -> bool:
    """Whether this computer has one of `names` of `repository`, so that `fetch` need not ask the hub."""
    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def discard(path: Path) -> None:
    """Take a file that `fetch` returned out of the cache, so that the next `fetch` downloads it again."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)


def _ask(repository: str, name: str) -> HfFileMetadata:
    answer: Future[HfFileMetadata] = Future()

    def ask() -> None:
        try:
            answer.set_result(get_hf_file_metadata(hf_hub_url(repository, name), timeout=constants.HF_HUB_ETAG_TIMEOUT))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            answer.set_exception(error)

    # A thread, left behind when it takes too long: neither the look-up of a name nor the row of attempts at each
    # of its addresses can be given a time limit.
    threading.Thread(target=ask, name="model hub", daemon=True).start()
    try:
        return answer.result(TIMEOUT_SECONDS)
    except EntryNotFoundError:
        raise
    except TimeoutError as error:
        raise _unreachable(f"no answer in {TIMEOUT_SECONDS:.0f} seconds") from error
    except OfflineModeIsEnabled as error:
        raise _unreachable("HF_HUB_OFFLINE forbids it") from error
    except HfHubHTTPError as error:
        raise _refusal(repository, error) from error
    except Exception as error:
        raise _unreachable(str(error) or type(error).__name__) from error


def _download(repository: str, name: str, size: int | None, on_progress: OnDownloadProgress) -> Path:
    done = 0

    class Bar:
        """What the library takes for a progress bar."""

        def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
            self.update(initial)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
            return None

        def update(self, count: float | None = 1) -> None:
            nonlocal done
            done += int(count or 0)
            on_progress(done, size)

    try:
        return Path(hf_hub_download(repository, name, tqdm_class=Bar))
    except EncoderError:
        raise
    except HfHubHTTPError as error:
        raise _refusal(repository, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise EncoderError(
                f"There is no room for {name} ({_megabytes(size)}) in {constants.HF_HUB_CACHE}: free some space "
                "there and press Try again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise EncoderError(
                f"The folder {constants.HF_HUB_CACHE} cannot be written to: allow it, or set HF_HOME to another "
                "folder, and start again."
            ) from error
        raise _cut(name, done, size) from error
    except Exception as error:
        raise _cut(name, done, size) from error


def _unreachable(reason: str) -> EncoderError:
    return EncoderError(
        f"The model hub {constants.ENDPOINT} cannot be reached ({reason}): check the connection and press "
        f"Try again, or {_LOCAL}."
    )


def _refusal(repository: str, error: HfHubHTTPError) -> EncoderError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError) or status == 403:
        return EncoderError(
            f"{repository} is given only to those who asked for it: ask on its page on the model hub and set "
            f"HF_TOKEN to your token, or choose another CLIP_MODEL."
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return EncoderError(
            f"The model hub has no {repository}, or shows it only to some: check CLIP_MODEL, or set HF_TOKEN to "
            "the token of someone who may read it."
        )
    return EncoderError(
        f"The model hub {constants.ENDPOINT} is out of order (HTTP {status}): press Try again in a while, or {_LOCAL}."
    )


def _cut(name: str, done: int, size: int | None) -> EncoderError:
    return EncoderError(
        f"The download of {name} broke off after {_megabytes(done)} of {_megabytes(size)}: check the connection "
        "and press Try again."
    )


def _megabytes(count: int | None) -> str:
    return "an unknown size" if count is None else f"{count / 1e6:.0f} MB"
