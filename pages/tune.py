import streamlit as st

from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.panels.empty_state import empty_state, index_link
from core.ui.panels.tuning.evidence import read_evidence
from core.ui.panels.tuning.judging import show_judging
from core.ui.panels.tuning.threshold_estimate import KIND_NAMES, show_estimate, show_saved
from core.ui.panels.tuning.verdict_files import show_verdict_files

app = engine()

st.title("Tune the threshold", anchor=False)
st.caption("Judge whether matches are right. Your verdicts suggest a threshold, and show how certain it is.")
try:
    if app.database_state.state == "ready" and not app.store.count():
        empty_state("There is nothing to judge yet", "First index some pictures.", index_link)
    elif app.can_search:
        kind = st.segmented_control(
            "Searches",
            list(KIND_NAMES),
            format_func=lambda kind: KIND_NAMES[kind].capitalize(),
            default="picture",
            required=True,
            key="kind",
            label_visibility="collapsed",
        )
        in_use = app.serving()
        evidence = read_evidence(in_use, kind)
        left, right = st.columns([1, 1], gap="large")
        with left:
            show_judging(evidence, in_use, kind)
        with right:
            saved = show_saved(in_use, kind)
            show_estimate(evidence, saved, in_use, kind)
            show_verdict_files(in_use, evidence.verdicts)
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
