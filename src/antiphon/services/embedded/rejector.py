"""Whether to believe the grammar: speech outside the templates must never act.

A grammar hears a sentence of its own in anything. A second decoder with a loose language model
hears the same audio; how far the two sound alike, phone by phone, tells speech that follows the
templates from speech that does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.services.embedded.decoder import Decoded
from antiphon.services.embedded.pronunciation import Dictionary

AGREEMENT_THRESHOLD = 0.65
"""Less agreement than this is speech outside of the templates: the least that rejected 95 % of such
speech in every condition of `benchmarks/accuracy.py --tune`."""

NO_WORDS = "[unintelligible]"
UNCLEAR = "[unclear]"
"""Begins every transcript that is not trusted; no template matches it."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was said, and whether it is to be believed."""

    text: str
    """The sentence of the grammar."""
    open_text: str
    """The words the second decoder heard."""
    agreement: float
    """How alike the two sound, 0 to 1."""
    rejected: bool

    @property
    def transcript(self) -> str:
        """The text for the conversation: a sentence, or `[unclear] words…`."""
        if not self.rejected:
            return self.text
        return f"{UNCLEAR} {self.open_text or NO_WORDS}"


def judge(grammar: Decoded, loose: Decoded, dictionary: Dictionary) -> Hypothesis:
    """Compare the grammar's hypothesis with the second decoder's."""
    agreement = phone_agreement(_phones(grammar, dictionary), _phones(loose, dictionary))
    rejected = not grammar.text or agreement < AGREEMENT_THRESHOLD
    return Hypothesis(grammar.text, loose.text, agreement, rejected)


def phone_agreement(one: Sequence[str], other: Sequence[str]) -> float:
    """One minus the edit distance relative to the longer sequence; 0 if either is empty."""
    if not one or not other:
        return 0.0
    return 1 - _edit_distance(one, other) / max(len(one), len(other))


def _phones(decoded: Decoded, dictionary: Dictionary) -> tuple[str, ...]:
    """Phones of the words' first pronunciations: the same words always agree."""
    return dictionary.phones([segment.word.split("(")[0] for segment in decoded.segments])


def _edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(other, start=1):
            substituted = diagonal + (mine != theirs)
            diagonal = row[j]
            row[j] = min(substituted, row[j] + 1, row[j - 1] + 1)
    return row[-1]
