"""The few errors that core raises on purpose. Each message is a sentence that a curator can read and act on."""

from __future__ import annotations


class LookalikeError(Exception):
    """The root of every error raised on purpose; `str(error)` is fit to be shown."""


class SettingsError(LookalikeError):
    """A setting is missing or makes no sense."""


class DatabaseError(LookalikeError):
    """The database cannot be reached or used, now or at all."""


class EncoderError(LookalikeError):
    """The model cannot be loaded, or cannot do what was asked of it."""


class UrlError(LookalikeError):
    """A line is not an address that may be fetched."""


class FetchError(LookalikeError):
    """A URL gave no bytes.

    `retryable` says whether the same URL may work later; `retry_after` is the wait in seconds that the server
    asked for, when it did; `status` is the HTTP status of an answer that was no picture.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status


class PictureError(LookalikeError):
    """The bytes are not a picture that can be used."""


class PictureTooLargeError(PictureError):
    """The picture has more bytes or pixels than the limits allow."""


class QueryError(LookalikeError):
    """The parts of a query do not make one."""


class TagError(LookalikeError):
    """The text is not a tag that can be used."""


class TransferError(LookalikeError):
    """A backup, or a file with a collection, cannot be written or read."""


class NotFoundError(LookalikeError):
    """Nothing has that id."""
