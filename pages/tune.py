import streamlit as st

from core.embedding.active_models import ActiveModel
from core.errors import LookalikeError
from core.search.query_parts import Kind
from core.tuning.judging_queue import usual_cut
from core.tuning.precision_recall import MIN_VERDICTS, missing
from core.ui.app_status import engine
from core.ui.panels.judging import show_judging
from core.ui.panels.threshold_estimate import show_saved, suggestion, tuned
from core.ui.panels.verdict_files import show_verdict_files

LOOK_SECONDS = 0.6
"""How long a run may look up queries."""

app = engine()


def tune(in_use: ActiveModel, kind: Kind) -> None:
    scope = f"{in_use.model.id}-{kind}"
    with st.spinner("Looking for matches to judge…", show_time=False):
        pool = app.judging_queue.pool(in_use, kind, LOOK_SECONDS)
    verdicts = app.verdicts.read(in_use.model, kind)
    keys, rights = [entry.key for entry in verdicts], [entry.right for entry in verdicts]
    lacking = missing(keys, rights)
    tuning = None
    if pool and not lacking:
        stamp = (scope, len(pool), len(verdicts), sum(rights), verdicts[-1].at)
        tuning = tuned(verdicts, pool, stamp)
    history = app.saved_thresholds.history(in_use.model, kind)
    saved = history[0] if history and history[0].threshold is not None else None
    left, right = st.columns([1, 1], gap="large")
    with left:
        if not pool:
            no_pool(kind)
        else:
            cut = tuning.best if tuning else usual_cut(pool, [entry.similarity for entry in verdicts], rights)
            show_judging(in_use, kind, pool, verdicts, cut)
    with right:
        show_saved(saved, history, in_use, kind)
        if tuning:
            suggestion(tuning, saved, in_use, kind, sum(entry.disputed for entry in verdicts))
        elif pool:
            st.progress(min(1.0, len(verdicts) / MIN_VERDICTS), text=lacking)
        show_verdict_files(in_use, verdicts)


def no_pool(kind: Kind) -> None:
    if kind == "words":
        st.info(
            "Nobody has searched with words lately. Search with some, and their matches can be judged here.",
            icon=":material/format_quote:",
        )
    else:
        st.info("It takes at least two pictures to have a match.", icon=":material/image:")


st.title("Tune the threshold", anchor=False)
st.caption(
    "Say of some matches whether they are right. Your answers tell where to draw the line, and how sure that is."
)
try:
    if app.database_state.state == "ready" and not app.store.count():
        st.info("There is nothing to judge yet. First index some pictures.", icon=":material/image:")
        st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")
    elif app.can_search:
        names: dict[Kind, str] = {"picture": "Searches with pictures", "words": "Searches with words"}
        kind = st.segmented_control(
            "Searches",
            list(names),
            format_func=names.__getitem__,
            default=next(iter(names)),
            required=True,
            key="kind",
            label_visibility="collapsed",
        )
        tune(app.serving(), kind)
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
