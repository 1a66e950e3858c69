"""Every speed that Lookalike promises, measured: `python -m bench [names]`."""
