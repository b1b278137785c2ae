"""Where in the audio pushed to a channel the pipeline's frames lie, so they pass on when heard.

Pipecat's output transport plays one chunk after the other and lets the frames in between pass when
their turn comes. Here audio is sent ahead of time, so "played" is a position that Asterisk's player
has reached. Positions are bytes of the wire format in the stream as pushed; no I/O, no clock.

Words with a presentation time (`Frame.pts`, nanoseconds of the pipeline's clock) are counted by
text-to-speech services from the time they pushed the first audio of a context. Where that audio
lies in the stream is noted, so a stall or an utterance in front of it moves the words as well.
"""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipecat.frames.frames import Frame, TTSTextFrame

from antiphon.domain.audio import BYTES_PER_SAMPLE

_ANCHORS = 8
"""Speech contexts remembered; words of older ones pass when they come."""

_TOLERANCE_NS = 50_000_000


@dataclass(slots=True)
class _Anchor:
    pts: int
    """Nanoseconds of the pipeline's clock."""
    position: float
    is_interruptible: bool
    end: float | None = None
    """Where the audio ends, once it is complete."""
    resumed: tuple[int, float] | None = None
    """When and where audio went on after a silence, until a word tells whether it counts."""


@dataclass(order=True, slots=True)
class _Held:
    position: float
    number: int
    frame: Frame = field(compare=False)


@dataclass(slots=True)
class _End:
    position: float
    is_interruptible: bool


class Move(NamedTuple):
    """Audio that was pushed again: what lay from `start` to `end` begins at `to` now."""

    start: int
    end: int
    to: int


class Playout:
    """The frames of one output that wait for a position."""

    def __init__(self) -> None:
        self._ends: dict[int, _End] = {}
        self._anchors: dict[str, _Anchor] = {}
        self._held: list[_Held] = []
        self._numbers = itertools.count()
        self._last_pts = 0
        self._kept: list[tuple[int, bytes]] = []

    # Chunks and ends of utterances.

    def expect(self, frame: Frame, end: float) -> None:
        """`frame` is played when the player reaches `end`."""
        self._ends[frame.id] = _End(end, frame.interruptible)

    def end_of(self, frame: Frame) -> float | None:
        """Where `frame` ends; None: it was interrupted, or is not expected."""
        end = self._ends.get(frame.id)
        return end.position if end else None

    def forget(self, frame: Frame) -> None:
        """`frame` was played, or never will be."""
        self._ends.pop(frame.id, None)

    # Frames with a presentation time.

    def anchor(
        self, context_id: str, now: int, position: float, *, interruptible: bool, is_idle: bool
    ) -> None:
        """Audio or words of a speech context come; its next audio begins at `position`.

        Args:
            context_id: Of the frame.
            now: The pipeline's clock, ns.
            position: Where the next audio pushed will lie.
            interruptible: Whether an interruption drops it.
            is_idle: Whether all that was pushed before has been played.
        """
        known = self._anchors.get(context_id)
        if known is not None:
            known.end = None
            is_new = known.resumed is None or known.resumed[1] != position
            if is_idle and is_new and position > known.position:
                known.resumed = now, position
            return
        # As `WordTimestampTracker.start` has it: after the last word, if that is later.
        pts = max(self._last_pts, now)
        self._anchors[context_id] = _Anchor(pts, position, interruptible)
        if len(self._anchors) > _ANCHORS:
            del self._anchors[next(iter(self._anchors))]

    def hold(self, frame: Frame, *, bytes_per_ms: float) -> bool:
        """Hold a frame until its time in the speech that it belongs to; False: to none."""
        pts = frame.pts or 0
        anchor = self._anchors.get(getattr(frame, "context_id", None) or "")
        if anchor is None and self._anchors and pts <= self._last_pts + 1:
            # The end of a reply has its last word's time (or 1 ns more), and no context.
            anchor = next(reversed(self._anchors.values()))
        if anchor is None:
            return False
        if isinstance(frame, TTSTextFrame):
            self._last_pts = max(self._last_pts, pts)
            _settle(anchor, pts)
        position = anchor.position + (pts - anchor.pts) / 1e6 * bytes_per_ms
        if anchor.end is not None:
            position = min(position, anchor.end)
        heapq.heappush(self._held, _Held(position, next(self._numbers), frame))
        return True

    @property
    def next_position(self) -> float | None:
        """Where the next held frame is due."""
        return self._held[0].position if self._held else None

    def due(self, played: float) -> list[Frame]:
        """Held frames that the player has reached, in order."""
        frames: list[Frame] = []
        while self._held and self._held[0].position <= played:
            frames.append(heapq.heappop(self._held).frame)
        return frames

    def finish(self, end: float) -> None:
        """The speech ends at `end`: words said to lie beyond it are due there."""
        for anchor in self._anchors.values():
            if anchor.end is None:
                anchor.end = end
        for held in self._held:
            held.position = min(held.position, end)
        heapq.heapify(self._held)

    # Interruptions. Audio that may not be interrupted is kept until it was heard, since flushing
    # Asterisk's queue takes all of it.

    def keep(self, position: int, data: bytes, played: float) -> None:
        """`data` was pushed at `position` and must be heard, whatever comes."""
        self._kept = [(at, old) for at, old in self._kept if at + len(old) > played]
        if data:
            self._kept.append((position, data))

    def must_be_heard(self, played: float, pushed: int) -> bool:
        """Whether all audio from `played` to `pushed` is of the kind that is kept; False: none."""
        covered = sum(at + len(data) - max(at, played) for at, data in self._unheard(played))
        return covered > 0 and covered >= pushed - played - 1

    def take_kept(self, heard: int) -> list[tuple[int, bytes]]:
        """What was kept and not heard, with its positions; it is kept no more."""
        pieces = []
        for at, data in self._unheard(heard):
            skip = max(heard - at, 0)
            skip -= skip % BYTES_PER_SAMPLE
            pieces.append((at + skip, data[skip:]))
        self._kept = []
        return pieces

    def _unheard(self, played: float) -> list[tuple[int, bytes]]:
        return [(at, data) for at, data in self._kept if at + len(data) > played]

    def interrupt(self) -> None:
        """Drop all frames that may be interrupted."""
        self._ends = {k: one for k, one in self._ends.items() if not one.is_interruptible}
        self._anchors = {k: one for k, one in self._anchors.items() if not one.is_interruptible}
        self._held = [one for one in self._held if not one.frame.interruptible]
        heapq.heapify(self._held)
        words = (one.frame.pts or 0 for one in self._held if isinstance(one.frame, TTSTextFrame))
        self._last_pts = max(words, default=0)

    def flushed(self, moves: Sequence[Move]) -> None:
        """The queue was flushed; what must be heard was pushed again, the rest is dropped."""
        self.interrupt()
        places: list[_End | _Anchor | _Held] = [*self._ends.values(), *self._anchors.values()]
        for place in (*places, *self._held):
            place.position = _moved(place.position, moves)
        for anchor in self._anchors.values():
            if anchor.end is not None:
                anchor.end = _moved(anchor.end, moves)
        heapq.heapify(self._held)


def _settle(anchor: _Anchor, pts: int) -> None:
    """Some services count the silence between two sentences of a reply in their words' times.

    The first word after it tells: it comes no earlier than its audio, or by about the silence.
    """
    if anchor.resumed is None:
        return
    now, position = anchor.resumed
    anchor.resumed = None
    if pts >= now - _TOLERANCE_NS:
        anchor.pts, anchor.position = now, position


def _moved(position: float, moves: Sequence[Move]) -> float:
    """Where a position lies after `moves`; those of dropped audio are reached at once."""
    reached = 0.0
    for start, end, to in moves:
        if position <= end:
            return to + position - start if position > start or not reached else reached
        reached = to + end - start
    return reached
