"""A curator who judges matches on the Tune page by the classes of photos."""

from __future__ import annotations

import csv
import io
import re

from playwright.sync_api import Locator, Page, expect

from bench.support.app import App

MATCHES = 30
"""Matches of each query that the page's recall is about."""


def classes_of(app: App) -> dict[str, str]:
    """The class of each picture by its id: the last folder of its URL."""
    listed = app.raw("GET", "/api/collection?format=csv").text
    rows = csv.DictReader(io.StringIO(listed.removeprefix("\ufeff")))
    return {row["id"]: row["urls"].split()[0].split("/")[-2] for row in rows}


def shown(page: Page) -> Locator:
    """The pair that is to be judged."""
    return page.locator(".judge")


def pair(page: Page) -> tuple[str, str]:
    """The ids of the match and of the query that are shown, once there are."""
    expect(shown(page)).to_have_attribute("data-pair", re.compile(".+ picture:.+"))
    match, _, query = (shown(page).get_attribute("data-pair") or "").partition(" picture:")
    return match, query


def open_tune(page: Page, app: App) -> None:
    """Go to the Tune page and wait for its question."""
    page.goto(f"{app.url}/tune")
    expect(page.get_by_text("Do these belong together?")).to_be_visible()


def tally(page: Page) -> Locator:
    """How many verdicts there are, as the page says."""
    return page.locator('[data-part="tally"]')


def stated(page: Page, name: str) -> tuple[float, float]:
    """The ends of an interval as the page has it."""
    text = page.get_by_test_id("stMetric").filter(has_text=name).inner_text()
    low, high = re.findall(r"(\d+)\s%", text)[-2:]
    return int(low) / 100, int(high) / 100


def given(page: Page) -> int:
    """That number of verdicts."""
    expect(tally(page)).to_have_text(re.compile(r"^\d+ verdicts? so far$"))
    return int(tally(page).inner_text().split()[0])


def judge(page: Page, classes: dict[str, str], count: int) -> set[str]:
    """Answer by class, with keys and now and then a click. Returns the ids of the queries that were judged."""
    judged, before = set[str](), given(page)
    for number in range(count):
        match, query = pair(page)
        judged.add(query)
        right = classes[match] == classes[query]
        if number % 10:
            page.keyboard.press("y" if right else "n")
        else:
            page.get_by_role("button", name="Yes" if right else "No").click()
        expect(shown(page)).not_to_have_attribute("data-pair", f"{match} picture:{query}")
    expect(tally(page)).to_have_text(f"{before + count} verdicts so far")
    return judged


def save(page: Page) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Save the suggested threshold. Returns it, and the intervals that are stated for its precision and recall."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    button = page.get_by_role("button", name=re.compile("^Save"))
    threshold = float(re.findall(r"[\d.]+", button.inner_text().partition("Save")[2])[0]) / 100
    stated_there = stated(page, "Precision"), stated(page, "Recall")
    button.click()
    expect(page.get_by_text(f"Saved threshold: {threshold * 100:g}\u202f%.")).to_be_visible()
    return threshold, *stated_there


def truth(app: App, classes: dict[str, str], judged: set[str], threshold: float) -> tuple[float, float]:
    """Precision and recall of a threshold among the matches of the queries that were not judged."""
    right = all_right = reached = 0
    for id in classes.keys() - judged:
        query = {"parts": [{"picture": id}], "leave_out": True, "top_k": MATCHES}
        for match in app.post("/api/search", json=query)["matches"]:
            good = classes[match["id"]] == classes[id]
            all_right += good
            reached += match["similarity"] >= threshold
            right += good and match["similarity"] >= threshold
    return right / reached, right / all_right
