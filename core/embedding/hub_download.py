"""Model files of one revision from the Hugging Face hub, or from its cache on this computer."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

# The library reads these when it is imported. Plain HTTPS works with proxies, resumes interrupted downloads and
# reports progress; and nobody needs to know who downloads which model.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from huggingface_hub import HfApi, constants, get_cached_repo_tree, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from core.errors import EncoderError

OnDownloadProgress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in total, or None when that is unknown."""

TIMEOUT_SECONDS = 15.0
"""Seconds for the hub to answer what its newest revision is, name resolution included."""

_LOCAL = "set CLIP_MODEL=local-dir:FOLDER to a model that is on this computer"


def cached_revision(repository: str, *files: Sequence[str]) -> Path | None:
    """The cached folder of the revision of `repository` (ORGANISATION/NAME) that was the newest when last checked.

    None when a file is missing: each of `files` lists alternative names, one of which must exist. The hub is not
    contacted. Raises EncoderError when `repository` is not a valid name.
    """
    folder = None
    for names in files:
        try:
            found = [try_to_load_from_cache(repository, name) for name in names]
        except HFValidationError:
            raise EncoderError(
                f"“{repository}” is not the name of a model on the hub: CLIP_MODEL=hf-hub: needs ORGANISATION/NAME."
            ) from None
        folder = next((Path(path).parent for path in found if isinstance(path, str)), None)
        if folder is None:
            return None
    return folder


def newest_revision(repository: str, name: str) -> Path:
    """The folder of the newest revision of `repository`, with its file `name` in it if it has one.

    Raises EncoderError.
    """
    answer: Future[str] = Future()

    def ask() -> None:
        try:
            # First, because a snapshot may come from the cache when the hub is unavailable, and missing files would
            # be requested again and again.
            HfApi().model_info(repository, timeout=TIMEOUT_SECONDS)
            answer.set_result(snapshot_download(repository, allow_patterns=[name], tqdm_class=_progress()))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            answer.set_exception(error)

    # In a thread that is abandoned when it takes too long: the library has no overall time limit.
    threading.Thread(target=ask, name="model hub", daemon=True).start()
    try:
        return Path(answer.result(TIMEOUT_SECONDS))
    except TimeoutError as error:
        raise _unreachable(f"no answer in {TIMEOUT_SECONDS:.0f} seconds") from error
    except Exception as error:
        raise _failure(repository, error) from error


def fetch(repository: str, folder: Path, names: Sequence[str], on_progress: OnDownloadProgress) -> Path:
    """The path of the first of `names` that `repository` has, in the `folder` of one of its revisions.

    An existing file is used, and an interrupted download is resumed. Raises EncoderError, and whatever `on_progress`
    raises, which aborts the download.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    sizes = {file.path: file.size for file in get_cached_repo_tree(repository, revision=folder.name)}
    chosen = next((name for name in names if name in sizes), None)
    if chosen is None:
        raise EncoderError(
            f"{repository} on the model hub has no file {' or '.join(names)}, so it is not an open_clip model: "
            "choose another CLIP_MODEL."
        )
    _download(repository, folder, chosen, sizes[chosen], on_progress)
    return folder / chosen


def discard(path: Path) -> None:
    """Remove a downloaded file from the cache, so that it is downloaded again."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)


def _download(repository: str, folder: Path, name: str, size: int, on_progress: OnDownloadProgress) -> None:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done = min(max(done, count), size)
        on_progress(done, size)

    try:
        advance(0)
        snapshot_download(repository, revision=folder.name, allow_patterns=[name], tqdm_class=_progress(advance))
    except EncoderError:
        raise
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise _failure(repository, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise EncoderError(
                f"There is not enough disk space for {name} ({_megabytes(size)}) in {constants.HF_HUB_CACHE}: free "
                "some space there and press Try again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise EncoderError(
                f"The folder {constants.HF_HUB_CACHE} is not writable: change its permissions, or set HF_HOME to "
                "another folder, and start again."
            ) from error
        raise _cut(name, done, size) from error
    except Exception as error:
        raise _cut(name, done, size) from error


def _progress(on_bytes: Callable[[int], None] = lambda count: None) -> type:
    """A class for the library's progress bars, which are two for bytes (received and written) and one for files.

    `on_bytes` is called with the number of bytes that one of the first two has counted so far.
    """

    class Bar:
        def __init__(self, *_: Any, total: float | None = None, unit: str = "", **__: Any) -> None:
            self.total, self.n = total, 0
            self._counts_bytes = unit == "B"

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            if self._counts_bytes:
                on_bytes(self.n)

        def refresh(self) -> None:
            pass

        def set_description(self, *_: Any) -> None:
            pass

        set_description_str = set_description

    return Bar


def _failure(repository: str, error: Exception) -> EncoderError:
    """The EncoderError for an error of the library, or for its cause when a look into the cache hid that."""
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return _unreachable("HF_HUB_OFFLINE forbids it")
    if isinstance(error, HfHubHTTPError):
        return _refusal(repository, error)
    if isinstance(error, ValueError | KeyError | TypeError | AssertionError):  # not JSON, or not the hub's
        return _unreachable("the server there is not a model hub")
    return _unreachable(str(error) or type(error).__name__)


def _unreachable(reason: str) -> EncoderError:
    return EncoderError(
        f"The model hub {constants.ENDPOINT} cannot be reached ({reason}): check the connection and press "
        f"Try again, or {_LOCAL}."
    )


def _refusal(repository: str, error: HfHubHTTPError) -> EncoderError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError) or status == 403:
        return EncoderError(
            f"{repository} is a gated model: request access on its page on the model hub and set HF_TOKEN to your "
            "token, or choose another CLIP_MODEL."
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return EncoderError(
            f"The model hub has no {repository}, or it is private: check CLIP_MODEL, or set HF_TOKEN to a token with "
            "access to it."
        )
    return EncoderError(
        f"The model hub {constants.ENDPOINT} is unavailable (HTTP {status}): press Try again later, or {_LOCAL}."
    )


def _cut(name: str, done: int, size: int) -> EncoderError:
    return EncoderError(
        f"The download of {name} was interrupted after {_megabytes(done)} of {_megabytes(size)}: check the connection "
        "and press Try again."
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
