"""Cutting long texts and timing words."""

from hypothesis import given
from hypothesis import strategies as st

from antiphon.services.embedded.tts_engine import WordTimer, pieces


@given(st.text(), st.integers(1, 40))
def test_pieces_are_the_text_in_order_and_within_the_limit(text: str, limit: int) -> None:
    rebuilt = ""
    for offset, piece in pieces(text, limit):
        assert offset == len(rebuilt)
        assert 0 < len(piece) <= limit
        rebuilt += piece
    assert rebuilt == text or not text[len(rebuilt) :].strip()


def test_a_long_text_is_cut_at_the_last_sentence_end_that_fits() -> None:
    assert [p for _, p in pieces("One. Two two. Three three.", 15)] == [
        "One. Two two. ",
        "Three three.",
    ]
    assert [p for _, p in pieces("one two three", 8)] == ["one two ", "three"]


def test_words_without_an_event_share_the_time_between_their_neighbours() -> None:
    timer = WordTimer("in the middle of it")
    assert [(w.text, w.at_ms) for w in timer.at(0, 0)] == [("in", 0)]
    assert [(w.text, w.at_ms) for w in timer.at(7, 300)] == [("the", 150), ("middle", 300)]
    assert timer.at(9, 350) == []
    assert [(w.text, w.at_ms) for w in timer.finish(900)] == [("of", 500), ("it", 700)]


@given(st.text(), st.lists(st.tuples(st.integers(-2, 60), st.floats(0, 1e4)), max_size=30))
def test_every_word_is_timed_exactly_once_whatever_the_engine_reports(
    text: str, events: list[tuple[int, float]]
) -> None:
    timer = WordTimer(text)
    words = [word for position, ms in events for word in timer.at(position, ms)]
    words += timer.finish(1e4)
    assert "".join(w.text for w in words) == "".join(text.split())
