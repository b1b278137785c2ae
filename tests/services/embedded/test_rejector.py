"""When the grammar's hypothesis is believed."""

import pytest

from antiphon.services.embedded.decoder import Decoded, Segment
from antiphon.services.embedded.dialogue import UNCLEAR
from antiphon.services.embedded.pronunciation import Dictionary
from antiphon.services.embedded.rejector import AGREEMENT_THRESHOLD, judge, phone_agreement

DICTIONARY = Dictionary(
    {
        "two": ("T", "UW"),
        "to": ("T", "UW"),
        "to(2)": ("T", "AH"),
        "blue": ("B", "L", "UW"),
        "mugs": ("M", "AH", "G", "Z"),
        "order": ("AO", "R", "D", "ER"),
    }
)


def decoded(text: str) -> Decoded:
    words = ["<s>", *text.split(), "</s>"]
    return Decoded(text, -1000, tuple(Segment(w, i, i + 1) for i, w in enumerate(words)))


@pytest.mark.parametrize(
    ("one", "other", "agreement"),
    [
        ("abc", "abc", 1.0),
        ("abc", "abd", 2 / 3),
        ("abcd", "abc", 3 / 4),
        ("abc", "abcd", 3 / 4),
        ("abc", "xyz", 0.0),
        ("kitten", "sitting", 4 / 7),
        ("", "abc", 0.0),
        ("", "", 0.0),
    ],
)
def test_agreement_is_one_minus_the_relative_edit_distance(
    one: str, other: str, agreement: float
) -> None:
    assert phone_agreement(one, other) == pytest.approx(agreement)
    assert phone_agreement(other, one) == pytest.approx(agreement)


def test_hypotheses_that_sound_alike_are_believed_whatever_the_spelling() -> None:
    hypothesis = judge(decoded("two blue mugs"), decoded("to blue mugs"), DICTIONARY)
    assert hypothesis.agreement == 1
    assert not hypothesis.rejected
    assert hypothesis.transcript == "two blue mugs"


def test_the_same_words_agree_whichever_way_they_were_said() -> None:
    assert judge(decoded("to order"), decoded("to(2) order"), DICTIONARY).agreement == 1


def test_hypotheses_that_sound_different_are_rejected_with_the_open_words() -> None:
    hypothesis = judge(decoded("two blue mugs"), decoded("order"), DICTIONARY)
    assert hypothesis.agreement < AGREEMENT_THRESHOLD
    assert hypothesis.rejected
    assert hypothesis.transcript == f"{UNCLEAR} order"


def test_nothing_heard_is_rejected() -> None:
    hypothesis = judge(Decoded("", 0), Decoded("", 0), DICTIONARY)
    assert hypothesis.rejected
    assert hypothesis.transcript.startswith(UNCLEAR)


def test_no_path_through_the_grammar_is_rejected_even_if_the_other_heard_words() -> None:
    hypothesis = judge(Decoded("", 0), decoded("blue"), DICTIONARY)
    assert hypothesis.rejected
    assert hypothesis.transcript == f"{UNCLEAR} blue"
