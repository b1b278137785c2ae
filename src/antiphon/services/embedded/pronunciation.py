"""Pronouncing dictionaries: the entries a grammar needs, and no others.

Known words come from the CMU dictionary in the `pocketsphinx` wheel, with all their variants; other
words are spoken by espeak-ng and its IPA is spelt in the dictionary's ARPAbet. On common words
espeak-ng agrees with an entry of the dictionary in nine cases of ten.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.espeak import phonemes

Phones = tuple[str, ...]

# ruff: noqa: RUF001 -- IPA letters look like Latin ones
_ARPABET: Mapping[str, str] = {
    # Vowels of espeak-ng's en-us, long and short, then r-coloured ones and diphthongs.
    "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "eɪ": "EY", "ɛ": "EH", "æ": "AE", "a": "AE",
    "ɑː": "AA", "ɑ": "AA", "ɒ": "AA", "ɔː": "AO", "ɔ": "AO", "oʊ": "OW", "əʊ": "OW", "o": "OW",
    "ʊ": "UH", "uː": "UW", "u": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɜː": "ER", "ɜ": "ER",
    "ɚ": "ER", "ɝ": "ER", "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "iə": "IY AH", "aɪə": "AY AH",
    "aɪɚ": "AY ER", "əl": "AH L", "ɑːɹ": "AA R", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɪɹ": "IH R",
    "ɛɹ": "EH R", "ʊɹ": "UH R", "n̩": "AH N", "l̩": "AH L", "m̩": "AH M",
    # Consonants; a tapped t is spelt T as the dictionary does.
    "p": "P", "b": "B", "t": "T", "ɾ": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "f": "F",
    "v": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH",
    "tʃ": "CH", "dʒ": "JH", "m": "M", "n": "N", "ŋ": "NG", "l": "L", "ɫ": "L", "ɹ": "R", "r": "R",
    "w": "W", "j": "Y", "x": "K", "ʔ": "T", "ɬ": "L", "ç": "HH",
}  # fmt: skip
_LONGEST = max(map(len, _ARPABET))


@dataclass(frozen=True)
class Dictionary:
    """Pronunciations of words.

    Attributes:
        entries: Phones by entry; further ways to say a word are entries `word(2)`, `word(3)`, …
        guessed: The words that espeak-ng was asked about.
    """

    entries: Mapping[str, Phones]
    guessed: frozenset[str] = frozenset()

    def text(self) -> str:
        """The dictionary in PocketSphinx's format."""
        lines = (f"{entry} {' '.join(phones)}\n" for entry, phones in self.entries.items())
        return "".join(lines)

    def phones(self, words: Collection[str]) -> Phones:
        """The phones of words or entries one after the other; unknown ones have none."""
        return tuple(phone for word in words for phone in self.entries.get(word, ()))

    @cached_property
    def words(self) -> frozenset[str]:
        """Words without their variants."""
        return frozenset(_word_of(entry) for entry in self.entries)


def build_dictionary(
    words: Collection[str],
    base: Path,
    speak: Callable[[str], str] = phonemes,
) -> Dictionary:
    """The pronunciations of `words`.

    Args:
        words: Lower-case words.
        base: A dictionary in PocketSphinx's format to take them from.
        speak: Gives the IPA of a word that is not in it.

    Raises:
        ConfigurationError: The dictionary cannot be read, or a word cannot be pronounced.
    """
    entries = _entries_of(frozenset(words), base)
    missing = sorted(frozenset(words) - {_word_of(entry) for entry in entries})
    unspeakable = []
    for word in missing:
        if phones := arpabet(speak(word)):
            entries[word] = phones
        else:
            unspeakable.append(f"{word!r}: has no pronunciation; write it as it is said")
    if unspeakable:
        raise ConfigurationError(unspeakable, source="sentences")
    return Dictionary(dict(sorted(entries.items())), frozenset(missing))


def arpabet(ipa: str) -> Phones:
    """Spell IPA, as espeak-ng writes English, in ARPAbet; other symbols are left out."""
    phones: list[str] = []
    at = 0
    while at < len(ipa):
        for size in range(_LONGEST, 0, -1):
            if found := _ARPABET.get(ipa[at : at + size]):
                phones += found.split()
                at += size
                break
        else:
            at += 1
    return tuple(phones)


def _entries_of(words: frozenset[str], base: Path) -> dict[str, Phones]:
    try:
        with base.open(encoding="utf-8") as lines:
            found = (line.split() for line in lines)
            return {e[0]: tuple(e[1:]) for e in found if e and _word_of(e[0]) in words}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError([f"{base}: cannot be read: {exc}"]) from exc


def _word_of(entry: str) -> str:
    return entry.split("(", 1)[0]
