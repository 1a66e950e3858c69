"""Which Lookalike this is: in pyproject.toml, in GET /api/health and in the API's description alike."""

VERSION = "0.1.0"
