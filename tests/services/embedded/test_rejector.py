"""When the grammar's hypothesis is believed."""

import pytest

from antiphon.services.embedded.decoder import NATS_PER_SCORE, Decoded, Segment
from antiphon.services.embedded.dialogue import UNCLEAR
from antiphon.services.embedded.pronunciation import Dictionary
from antiphon.services.embedded.rejector import (
    AGREEMENT_THRESHOLD,
    GAP_WEIGHT,
    MISSED_WEIGHT,
    NARROW_BAND_THRESHOLD,
    compare,
    judge,
)

DICTIONARY = Dictionary(
    {
        "two": ("T", "UW"),
        "to": ("T", "UW"),
        "to(2)": ("T", "AH"),
        "do": ("D", "UW"),
        "see": ("S", "IY"),
        "ash": ("AE", "SH"),
        "blue": ("B", "L", "UW"),
        "mugs": ("M", "AH", "G", "Z"),
        "order": ("AO", "R", "D", "ER"),
    }
)
FRAMES_PER_PHONE = 10


def segments(text: str, *, score: int = -100, begin: int = 0) -> tuple[Segment, ...]:
    """Words one after the other, 100 ms a phone, silence around them."""
    found = [Segment("<s>", begin, begin + FRAMES_PER_PHONE - 1, 0)]
    for word in text.split():
        start = found[-1].end + 1
        phones = 1 if word == "<sil>" else len(DICTIONARY.entries[word])
        found.append(Segment(word, start, start + phones * FRAMES_PER_PHONE - 1, score))
    found.append(Segment("</s>", found[-1].end + 1, found[-1].end + FRAMES_PER_PHONE, 0))
    return tuple(found)


def decoded(text: str, **kwargs: int) -> Decoded:
    words = " ".join(word.split("(")[0] for word in text.split() if word != "<sil>")
    return Decoded(words, -1000, segments(text, **kwargs))


def test_hypotheses_that_sound_alike_are_believed_whatever_the_spelling() -> None:
    hypothesis = judge(decoded("two blue mugs"), decoded("to blue mugs"), DICTIONARY)
    assert hypothesis.agreement == 1
    assert not hypothesis.rejected
    assert hypothesis.transcript == "two blue mugs"


def test_the_same_words_agree_whichever_way_they_were_said() -> None:
    assert judge(decoded("to order"), decoded("to(2) order"), DICTIONARY).agreement == 1


def test_hypotheses_that_sound_different_are_rejected_with_the_open_words() -> None:
    hypothesis = judge(decoded("two blue mugs"), decoded("order order"), DICTIONARY)
    assert hypothesis.agreement < NARROW_BAND_THRESHOLD
    assert hypothesis.rejected
    assert hypothesis.transcript == f"{UNCLEAR} order order"


def test_phones_are_compared_with_what_is_heard_at_the_same_time() -> None:
    """The same words in another place are no agreement: a free alignment would match them."""
    late = judge(decoded("mugs <sil> <sil> <sil> <sil>"), decoded("<sil> <sil> <sil> <sil> mugs"),
                 DICTIONARY)  # fmt: skip
    assert late.agreement == 0
    near = compare(segments("mugs"), segments("mugs", begin=2), DICTIONARY)
    assert near.likeness > 0.9


@pytest.mark.parametrize(
    ("mine", "theirs", "least", "most"),
    [
        ("two", "two", 1.0, 1.0),
        ("two", "do", 0.75, 0.9),  # T and D are of one class, UW is the same
        ("do", "see", 0.15, 0.45),  # other consonant, other vowel
        ("see", "ash", 0.0, 0.2),  # consonant for vowel, vowel for consonant
    ],
)
def test_like_phones_count_for_more_than_unlike_ones(
    mine: str, theirs: str, least: float, most: float
) -> None:
    evidence = compare(segments(mine), segments(theirs), DICTIONARY)
    assert least <= evidence.likeness <= most


def test_words_that_fit_the_sound_worse_count_against_the_grammar() -> None:
    nats = 2.0
    frames = len("blue") - 1  # three phones
    worse = -round(nats * frames * FRAMES_PER_PHONE / NATS_PER_SCORE)
    evidence = compare(segments("blue", score=worse), segments("blue", score=0), DICTIONARY)
    assert evidence.gap == pytest.approx(nats, rel=0.01)
    assert evidence.agreement == pytest.approx(1 - GAP_WEIGHT * nats, abs=0.01)


def test_speech_the_grammar_took_for_silence_counts_against_it() -> None:
    skipped = "two <sil> <sil> <sil> <sil> mugs"
    evidence = compare(segments(skipped), segments("two order mugs"), DICTIONARY)
    assert evidence.missed == pytest.approx(0.4)
    fair = evidence.likeness - GAP_WEIGHT * evidence.gap
    assert evidence.agreement == pytest.approx(fair - MISSED_WEIGHT * 0.4)


def test_by_telephone_less_agreement_is_enough() -> None:
    between = (AGREEMENT_THRESHOLD + NARROW_BAND_THRESHOLD) / 2
    gap = (1 - between) / GAP_WEIGHT
    worse = -round(gap * 3 * FRAMES_PER_PHONE / NATS_PER_SCORE)
    mine, theirs = decoded("blue", score=worse), decoded("blue", score=0)
    assert judge(mine, theirs, DICTIONARY).rejected
    assert not judge(mine, theirs, DICTIONARY, narrow_band=True).rejected


@pytest.mark.parametrize("narrow_band", [False, True])
def test_nothing_heard_is_rejected(narrow_band: bool) -> None:
    nothing = Decoded("", 0)
    hypothesis = judge(nothing, nothing, DICTIONARY, narrow_band=narrow_band)
    assert hypothesis.rejected
    assert hypothesis.transcript.startswith(UNCLEAR)


def test_no_path_through_the_grammar_is_rejected_even_if_the_other_heard_words() -> None:
    hypothesis = judge(Decoded("", 0), decoded("blue"), DICTIONARY)
    assert hypothesis.rejected
    assert hypothesis.transcript == f"{UNCLEAR} blue"


def test_a_sentence_where_the_other_heard_nothing_is_rejected() -> None:
    assert judge(decoded("blue"), Decoded("", 0), DICTIONARY).rejected


def test_a_word_of_no_length_does_no_harm() -> None:
    empty = Segment("(NULL)", 5, 4, 0)
    mine = (empty, *segments("blue"))
    assert compare(mine, segments("blue"), DICTIONARY).likeness == 1
