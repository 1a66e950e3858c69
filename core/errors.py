"""The errors that core raises on purpose. Each message is a sentence that a curator can read and act on."""

from __future__ import annotations


class LookalikeError(Exception):
    """The base of every error raised on purpose; `str(error)` can be shown to users."""


class SettingsError(LookalikeError):
    """A setting is missing or invalid."""


class DatabaseError(LookalikeError):
    """The database cannot be reached or used."""


class EncoderError(LookalikeError):
    """The model cannot be loaded, or cannot do what was asked of it."""


class UrlError(LookalikeError):
    """The text is not a URL that may be fetched."""


class SourceError(LookalikeError):
    """The place cannot be a source, or cannot be read."""


class FetchError(LookalikeError):
    """A URL could not be fetched.

    `retryable` says whether the same URL may work later; `retry_after` is the wait in seconds that the server
    asked for, if it did; `status` is the HTTP status of a response that was not a picture.
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
    """The parts do not form a valid query."""


class TagError(LookalikeError):
    """The text is not a tag that can be used."""


class TransferError(LookalikeError):
    """A backup or a table of pictures cannot be written or read."""


class NotFoundError(LookalikeError):
    """Nothing with that id exists."""
