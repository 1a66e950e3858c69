"""What the app and its workers import, but for the modules that Streamlit must be running for."""

import open_clip
import streamlit.web.bootstrap
import streamlit.web.cli
import torch

import core.api.routes
import core.engine

__all__ = ["core", "open_clip", "streamlit", "torch"]
