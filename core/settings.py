"""Every setting, read once and checked: environment first, then `.env`, then Streamlit's secrets."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any

from limits import parse_many
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import SettingsError


class Settings(BaseSettings):
    """All settings of one process. Names are those of the environment, in lower case."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        toml_file=".streamlit/secrets.toml",
        hide_input_in_errors=True,
    )

    postgres_url: SecretStr | None = Field(
        None,
        description="Connection string of your Postgres (15 or later, pgvector 0.8.0 or later). "
        "Unset: an embedded Postgres under `DATA_DIR`.",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Where the embedded Postgres keeps the collection. "
        "Pictures fetched to compare are cached there, too.",
    )
    clip_model: str = Field(
        "",
        description="The model: an open_clip `NAME/TAG`, `hf-hub:ORGANISATION/NAME`, `local-dir:PATH`, or `built-in`. "
        "Unset: CLIP's `ViT-B-32/laion2b_s34b_b79k`, downloaded if needed; `built-in` until then.",
    )
    copy_model: str = Field(
        "built-in",
        description="The model that finds edited copies of a picture: `built-in`, the path of an ONNX file such as "
        "SSCD's (needs onnxruntime), or `off`.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on. `0.0.0.0` opens the app to your network.")
    port: int = Field(8501, ge=1, le=65535, description="Port to listen on.")
    api_token: SecretStr | None = Field(
        None,
        description="When set, every API call but `/api/health`, `/api/docs` and `/api/openapi.json` needs "
        "`Authorization: Bearer TOKEN`.",
    )
    workers: int = Field(
        1,
        ge=0,
        le=1,
        description="1 runs the worker inside the app, 0 leaves all background work to `python -m core worker`.",
    )
    contact: str = Field(
        "", description="A mail address or URL, sent in the User-Agent so that a site's owner can reach you."
    )
    allow_private_urls: bool = Field(
        False,
        description="Also fetch from private and loopback IP addresses and any port. For intranets and tests.",
    )
    fetch_timeout: float = Field(
        30.0, gt=0, description="Seconds that one picture may take to fetch, redirects included."
    )
    retry_delay: float = Field(
        10.0,
        gt=0,
        description="Seconds until a fetch that failed temporarily is retried; "
        "each further retry waits four times as long.",
    )
    library_dirs: str = Field(
        "",
        description="Folders of this server that may be read as sources, with all below them, separated by commas. "
        "Unset: none.",
    )
    max_file_mb: float = Field(64.0, gt=0, le=1000, description="Largest picture file, in MB.")
    max_megapixels: float = Field(
        500.0,
        gt=0,
        le=1000,
        description="Largest picture, in millions of pixels, if `READER_MB` allows it.",
    )
    reader_mb: float | None = Field(
        None,
        gt=0,
        description="Memory in MB that reading one file may take; several are read side by side. "
        "Unset: an eighth of the machine's, 512 at least and 2,048 at most.",
    )
    reader_seconds: float = Field(
        20.0, gt=0, description="Seconds of computing that reading one picture may take; lists and ZIPs take six times."
    )
    keep_queries_days: int = Field(
        7, ge=1, le=365, description="Days that query pictures are kept, so that links to searches work."
    )
    rate_limit: str = Field(
        "",
        description="How often one client may call the API, such as `300/minute` or `20/second; 1000/hour`. "
        "Unset: no limit.",
    )
    embedded_by: str = Field(
        "",
        description="Sites whose pages may show this one in a frame, such as `https://intranet.example`, separated by "
        "spaces. Unset: none but this one.",
    )
    allowed_hosts: str = Field(
        "",
        description="Host names that the app answers to, separated by commas. "
        "Unset: the loopback names, and any IP address while `HOST` is not loopback.",
    )

    @field_validator("rate_limit")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        if value:
            try:
                parse_many(value)
            except ValueError:
                raise ValueError("must be a number per time, such as 300/minute") from None
        return value

    @field_validator("embedded_by")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        if not all(re.fullmatch(r"https?://[\w.*-]+(:\d+)?", site) for site in value.split()):
            raise ValueError("must be addresses such as https://intranet.example, separated by spaces")
        return value

    @field_validator("postgres_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgres://", "postgresql://")):
            raise ValueError("must start with postgresql:// or postgres://")
        return value

    @property
    def is_local(self) -> bool:
        """Whether the address to listen on can be reached from this machine only."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def library_folders(self) -> list[Path]:
        """The folders of `library_dirs`, absolute."""
        named = [Path(name.strip()).expanduser() for name in self.library_dirs.split(",") if name.strip()]
        return [Path(os.path.normpath(folder.absolute())) for folder in named]

    @property
    def max_file_bytes(self) -> int:
        """The largest picture file in bytes (1 MB = 1,000,000 bytes)."""
        return int(self.max_file_mb * 1_000_000)

    @property
    def max_pixels(self) -> int:
        """The largest picture in pixels."""
        return int(self.max_megapixels * 1_000_000)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add Streamlit's secrets file as the last source."""
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` win over every other source.

    Raises SettingsError, whose message names each invalid setting, but never its value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
        raise SettingsError("These settings are invalid. " + "; ".join(problems) + ".") from None
