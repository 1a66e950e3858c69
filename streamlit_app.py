"""Lookalike's front door: the navigation of every visit, and the ASGI app that `streamlit run` serves."""

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import streamlit as st

from core.ui.app_status import engine, status_line
from core.ui.auto_refresh import auto_refresh
from core.version import VERSION

pages = [
    # Without icons: Streamlit would make them the tab's icon too, and fetch that from Google's servers.
    st.Page("pages/search.py", title="Search", default=True),
    st.Page("pages/index.py", title="Index", url_path="index"),
    st.Page("pages/collection.py", title="Collection", url_path="collection"),
    st.Page("pages/duplicates.py", title="Duplicates", url_path="duplicates"),
    st.Page("pages/tune.py", title="Tune", url_path="tune"),
]
page = st.navigation(pages, position="top")

if __name__ == "__main__":  # a visit: Streamlit runs this file again for each
    st.set_page_config(
        page_title=f"{page.title} · Lookalike",
        page_icon="core/ui/assets/icon.svg",
        layout="wide",
        menu_items={"About": f"**Lookalike {VERSION}**: reverse image search for your own collection."},
    )
    st.logo("core/ui/assets/logo.svg", size="large")
    st.html(Path("core/ui/assets/app.css"))
    top = st.container()
    st.session_state["arrived"] = st.session_state.get("visited-page") != page.title
    st.session_state["visited-page"] = page.title
    try:
        page.run()
    except Exception:
        logging.getLogger(__name__).exception("page %s", page.title)
        st.error(
            "An unexpected error occurred on this page. Nothing is lost: reload the page. "
            "The app's log has the details.",
            icon=":material/error:",
        )
    with st.container(key="bottom-nav", horizontal=True):  # for phones, as app.css says
        for each in pages:
            st.page_link(each)
    with top:
        auto_refresh(status_line)
else:  # once a process: `streamlit run` imports this file and serves `app`
    from starlette.middleware import Middleware

    from core.api.headers import KnownHosts, SafeHeaders
    from core.api.routes import routes
    from core.process import keep_freed_memory, keep_numpy_to_one_core
    from core.settings import load_settings

    keep_freed_memory()
    keep_numpy_to_one_core()
    settings = load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[None]:
        """Start the engine before the first visitor comes, and let it finish its batch at the end."""
        started = engine()
        yield
        started.close()

    app = st.App(
        __file__,
        routes=routes(engine, settings),
        lifespan=lifespan,
        middleware=[Middleware(SafeHeaders, settings), Middleware(KnownHosts, settings)],
    )
