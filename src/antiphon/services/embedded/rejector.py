"""Whether to believe the grammar: speech outside the templates must never act.

A grammar hears a sentence of its own in anything. A second decoder with a loose language model
hears the same audio, and the two are compared 10 ms by 10 ms: whether they hear like phones at the
same time, how much better the loose words fit the sound, and how much of the speech the grammar
passed over as silence. On speech that follows the templates both hear the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from antiphon.services.embedded.decoder import NATS_PER_SCORE, Decoded, Segment
from antiphon.services.embedded.pronunciation import Dictionary

AGREEMENT_THRESHOLD = 0.50
"""Less agreement than this is speech outside of the templates: the least that rejected 95 % of such
speech, clean and in noise, in `python -m benchmarks.accuracy --tune`."""
NARROW_BAND_THRESHOLD = 0.44
"""The same by telephone, where the decoders differ more about everything: a judgement over several
tuning runs, which rejected 94.7 % at 0.44 and 95.6 % at 0.48."""

GAP_WEIGHT = 0.2
"""Agreement lost for each nat per 10 ms by which the loose words fit the sound better."""
MISSED_WEIGHT = 0.3
"""Agreement lost if the grammar took everything for silence that the loose decoder heard. Both
weights were chosen on tuning sentences; from half to twice as much makes a point of difference."""

NO_WORDS = "[unintelligible]"
UNCLEAR = "[unclear]"
"""Begins every transcript that is not trusted; no template matches it."""

_SHIFT = 2
"""Frames by which the decoders may differ about where a phone is."""
_SAME_CLASS, _SAME_KIND = 0.6, 0.2
"""Likeness of phones of one class, and of two other vowels or two other consonants."""

_VOWEL_CLASSES = "AA AO AH, AE EH, IH IY, UH UW, EY AY, OW AO, AW, OY, ER"
_CONSONANT_CLASSES = "P B, T D, K G, F V, TH DH, S Z, SH ZH, CH JH, M N NG, ER R, L, W, Y, HH"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was said, and whether it is to be believed."""

    text: str
    """The sentence of the grammar."""
    open_text: str
    """The words the second decoder heard."""
    agreement: float
    """How well the two fit together, 0 to 1."""
    rejected: bool

    @property
    def transcript(self) -> str:
        """The text for the conversation: a sentence, or `[unclear] words…`."""
        if not self.rejected:
            return self.text
        return f"{UNCLEAR} {self.open_text or NO_WORDS}"


def judge(
    grammar: Decoded, loose: Decoded, dictionary: Dictionary, *, narrow_band: bool = False
) -> Hypothesis:
    """Compare the grammar's hypothesis with the second decoder's.

    Args:
        grammar: The path through the grammar.
        loose: The second decoder's path through the same audio.
        dictionary: Pronunciations of the words of both.
        narrow_band: Whether the audio came by telephone.
    """
    evidence = compare(grammar.segments, loose.segments, dictionary)
    agreement = evidence.agreement if grammar.text and loose.text else 0.0
    rejected = agreement < (NARROW_BAND_THRESHOLD if narrow_band else AGREEMENT_THRESHOLD)
    return Hypothesis(grammar.text, loose.text, agreement, rejected)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How two hypotheses about the same audio differ."""

    likeness: float
    """Mean likeness of what they hear at the same time, 0 to 1, where either hears speech."""
    gap: float
    """Nats per frame by which the loose words fit the sound better, where the grammar has words."""
    missed: float
    """Part of the speech that the grammar took for silence or noise, 0 to 1."""

    @property
    def agreement(self) -> float:
        """All in one figure, 0 to 1."""
        figure = self.likeness - GAP_WEIGHT * max(self.gap, 0.0) - MISSED_WEIGHT * self.missed
        return min(max(figure, 0.0), 1.0)


def compare(
    grammar: Sequence[Segment], loose: Sequence[Segment], dictionary: Dictionary
) -> Evidence:
    """What speaks for and against the grammar's hypothesis."""
    frames = max((segment.end + 1 for segment in (*grammar, *loose)), default=0)
    mine, my_scores = _by_frame(grammar, frames, dictionary)
    theirs, their_scores = _by_frame(loose, frames, dictionary)
    spoken = (mine > 0) | (theirs > 0)
    if not (mine > 0).any():
        return Evidence(0.0, 0.0, 1.0)
    # Each of my phones is compared with the likest of theirs nearby; the ends count as silence.
    padded = np.pad(theirs, _SHIFT)
    near = [padded[shift : shift + frames] for shift in range(2 * _SHIFT + 1)]
    likeness = np.max([_likeness()[mine, other] for other in near], axis=0)
    gap = (their_scores - my_scores)[mine > 0].mean() * NATS_PER_SCORE
    missed = (mine[spoken] == 0).mean()
    return Evidence(float(likeness[spoken].mean()), float(gap), float(missed))


def _by_frame(
    segments: Iterable[Segment], frames: int, dictionary: Dictionary
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The phone in each frame (0 for silence) and its part of the acoustic score.

    A word's time and score are shared out evenly; its first pronunciation counts, so that the same
    words always agree.
    """
    phones, scores = np.zeros(frames, np.intp), np.zeros(frames)
    for segment in segments:
        length = segment.end + 1 - segment.start
        if length <= 0:
            continue
        where = slice(segment.start, segment.end + 1)
        scores[where] = segment.score / length
        if said := dictionary.phones([segment.word.split("(")[0]]):
            ids = np.array([_PHONES.get(phone, 0) for phone in said])
            phones[where] = ids[np.arange(length) * len(said) // length]
    return phones, scores


def _classes(text: str) -> list[list[str]]:
    return [group.split() for group in text.split(",")]


_KINDS = (_classes(_VOWEL_CLASSES), _classes(_CONSONANT_CLASSES))
_PHONES = {
    phone: number
    for number, phone in enumerate(
        sorted({phone for kind in _KINDS for group in kind for phone in group}), start=1
    )
}
"""Numbers of the phones; 0 is silence."""


@cache
def _likeness() -> npt.NDArray[np.float64]:
    """How alike two phones are, 0 to 1, by their numbers; silence is like nothing else."""
    table = np.eye(len(_PHONES) + 1)
    pairs = [([[p for group in kind for p in group]], _SAME_KIND) for kind in _KINDS]
    pairs += [(kind, _SAME_CLASS) for kind in _KINDS]
    for groups, likeness in pairs:
        for group in groups:
            ids = np.array([_PHONES[phone] for phone in group])
            table[np.ix_(ids, ids)] = np.maximum(table[np.ix_(ids, ids)], likeness)
    return table
