from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import QueryError
from core.search.query_parts import MAX_PARTS, Part, checked_parts, read_parts, write_parts

ID = "0f0e0d0c-0b0a-0908-0706-050403020100"

WHOLE = [
    {"picture": ID},
    {"upload": ID, "weight": 0.5, "crop": [0.1, 0.2, 0.6, 0.9]},
    {"words": "ein rotes Fahrrad, 赤い自転車, دراجة حمراء", "weight": -0.5},
    {"url": "https://a.example/ä b.jpg"},
]


def test_what_is_written_is_read() -> None:
    parts = read_parts(WHOLE)
    assert parts[0] == Part(picture=UUID(ID))
    assert read_parts(write_parts(parts)) == parts
    assert json.loads(write_parts(parts))[0] == {"picture": ID}


@given(
    st.lists(
        st.builds(
            lambda words, weight: Part(words=words, weight=weight),
            st.text(min_size=1, max_size=1000).filter(lambda text: bool(text.strip())),
            st.floats(-5, 5).filter(bool),
        ),
        max_size=MAX_PARTS,
    )
)
def test_words_in_any_script_survive_the_address(parts: list[Part]) -> None:
    assert list(read_parts(write_parts(parts))) == parts


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ({"words": "x"}, "list of parts"),
        ([{}], "exactly one of picture, upload, url, words, file"),
        ([{"words": "a", "url": "https://a.example"}], "exactly one of"),
        ([{"words": "  "}], "no words"),
        ([{"words": "x" * 1001}], "1,000 characters, and these have 1,001"),
        ([{"words": "a"}, {"words": "b", "weight": 0}], "Part 2 of the query: .*has no effect"),
        ([{"words": "a", "weight": 6}], "weight"),
        ([{"words": "a", "weight": float("nan")}], "weight"),
        ([{"words": "a", "colour": "red"}], "colour"),
        ([{"picture": "7"}], "picture"),
        ([{"picture": ID, "crop": [0.5, 0.5, 0.5, 0.9]}], "crop"),
        ([{"picture": ID, "crop": [0, 0, 2, 1]}], "crop"),
        ([{"words": "a", "crop": [0, 0, 1, 0.5]}], "words cannot be cropped"),
        ([{"words": "a"}] * 50, "up to 10 parts, and this one has 50"),
    ],
)
def test_what_is_no_query_is_a_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(QueryError, match=sentence):
        read_parts(value)


def test_a_query_must_look_for_something() -> None:
    with pytest.raises(QueryError, match="are negative"):
        checked_parts([Part(words="red", weight=-1)])
    with pytest.raises(QueryError, match="up to 10 parts"):
        checked_parts([Part(words="red")] * 11)
