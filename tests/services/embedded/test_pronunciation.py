"""The pronouncing dictionary: cut from a larger one, completed by espeak-ng."""

# ruff: noqa: RUF001 -- IPA letters look like Latin ones

from pathlib import Path

import pytest

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.pronunciation import arpabet, build_dictionary

BASE = """\
a AH
a(2) EY
blue B L UW
mug M AH G
unused AH N Y UW Z D
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.dict"
    path.write_text(BASE, encoding="utf-8")
    return path


def refuse(word: str) -> str:
    raise AssertionError(f"{word} is in the dictionary")


def test_only_the_words_asked_for_are_taken_with_all_their_variants(base: Path) -> None:
    dictionary = build_dictionary({"a", "mug"}, base, refuse)
    assert dictionary.text() == "a AH\na(2) EY\nmug M AH G\n"
    assert dictionary.words == {"a", "mug"}
    assert not dictionary.guessed


def test_missing_words_are_spoken_by_espeak(base: Path) -> None:
    dictionary = build_dictionary({"mug", "zorptron"}, base)
    assert dictionary.entries["zorptron"] == ("Z", "AO", "R", "P", "T", "R", "AA", "N")
    assert dictionary.guessed == {"zorptron"}


def test_words_nobody_can_say_are_all_listed(base: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_dictionary({"mug", "qq", "xx"}, base, lambda _: "")
    assert [p.split(":")[0] for p in caught.value.problems] == ["'qq'", "'xx'"]


def test_a_missing_dictionary_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.dict"):
        build_dictionary({"mug"}, tmp_path / "none.dict")


def test_phones_follow_the_entries_and_skip_fillers(base: Path) -> None:
    dictionary = build_dictionary({"a", "blue", "mug"}, base, refuse)
    phones = dictionary.phones(["<s>", "a(2)", "blue", "<sil>", "mug", "</s>"])
    assert phones == ("EY", "B", "L", "UW", "M", "AH", "G")


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("tʃˈɛɹi", "CH EH R IY"),
        ("dʒˈʌŋk", "JH AH NG K"),
        ("kˈeɪbəl", "K EY B AH L"),
        ("wˈɔːɾɚ", "W AO T ER"),
        ("fˈaɪɚ", "F AY ER"),
        ("", ""),
    ],
)
def test_ipa_is_spelt_in_arpabet(ipa: str, phones: str) -> None:
    assert " ".join(arpabet(ipa)) == phones


def test_every_phone_is_one_of_the_acoustic_model() -> None:
    from pocketsphinx import get_model_path

    from antiphon.services.embedded.pronunciation import _ARPABET

    base = Path(get_model_path("en-us")) / "cmudict-en-us.dict"
    known = {p for line in base.read_text("utf-8").splitlines() for p in line.split()[1:]}
    assert {phone for spelt in _ARPABET.values() for phone in spelt.split()} <= known
