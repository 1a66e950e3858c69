"""Lookalike's engine: everything below the pages, with no Streamlit except in `core.ui`."""
