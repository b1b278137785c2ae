"""Reading query parameters."""

import re

import pytest

from antiphon.errors import InvalidRequest
from antiphon.protocols.query import QueryReader


def test_blank_values_count_as_absent_and_the_first_name_wins() -> None:
    reader = QueryReader({"a": " ", "b": "2", "c": "3"})
    assert reader.text("a", "b", "c") == "2"
    assert reader.finish() == {}


def test_of_a_repeated_parameter_the_last_counts() -> None:
    assert QueryReader([("a", "1"), ("a", "2")]).text("a") == "2"


def test_secrets_are_never_among_the_ignored() -> None:
    query = {"Token": "x", "API_KEY": "y", "password": "z", "note": "a\nb" + "c" * 300}
    assert QueryReader(query).finish() == {"note": "a\ufffdb" + "c" * 197 + "…"}


def test_problems_name_the_parameter_the_peer_used_and_the_fix() -> None:
    reader = QueryReader({"samplerate": "44.1k", "name": "a b", "mode": "x"})
    reader.audio(sample_rate=8000, frame_ms=20)
    reader.text("name", pattern=re.compile(r"\w+"), hint="use letters")
    reader.choice("mode", options=("full", "diff"))
    reader.problem("other", "other is wrong")
    with pytest.raises(InvalidRequest) as caught:
        reader.finish()
    assert caught.value.details["problems"] == [
        {"field": "samplerate", "message": "samplerate is '44.1k'; send a whole number of Hz"},
        {"field": "name", "message": "name is 'a b'; use letters"},
        {"field": "mode", "message": "mode is 'x'; use one of full, diff"},
        {"field": "other", "message": "other is wrong"},
    ]
    assert caught.value.http_status == 422
