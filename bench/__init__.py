"""Benchmarks of every speed and quality that Lookalike promises: `python -m bench [names]`."""
