"""Which Lookalike this is: in pyproject.toml, in the API, in the User-Agent and in the menu's About alike."""

VERSION = "0.1.0"
