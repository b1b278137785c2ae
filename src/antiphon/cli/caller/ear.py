"""The caller's ear: what arrives, when it would be played, and when the agent speaks.

Pure: times are arguments, seconds on one monotonic clock. It plays received audio as a plain player
does: each piece after the one before it, or at once when there is nothing left to play.
"""

from dataclasses import dataclass

import numpy as np

from antiphon.cli.caller.sound import loud_span, resample, samples_of
from antiphon.domain.audio import AudioFormat

SPURT_GAP_S = 0.3
"""A longer gap than this in the stream is a pause of the sender, not lateness."""

STOP_GAP_S = 0.8
"""Silence that means the agent has stopped; pauses between its words and sentences are shorter."""

DRY_S = 0.06
"""Playing out for this long with nothing to play means that the sender paused, not the speaker."""

MAX_FORGIVEN_LATENESS_S = 0.001
"""Shorter gaps are rounding, not lateness."""


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """How well the stream was paced."""

    messages: int
    audio_ms: float
    """Length of all audio received."""
    late_messages: int
    """Messages that came after the audio before them had been played out, within a talk spurt."""
    max_late_ms: float
    max_lead_ms: float
    """The most audio that was waiting to be played when more arrived."""


@dataclass(frozen=True, slots=True)
class _Loud:
    """A message with sound in it."""

    arrived: float
    plays_until: float
    """When its last loud sample is played."""


@dataclass(frozen=True, slots=True)
class _Piece:
    plays_at: float
    pcm: bytes
    sample_rate: int


class Ear:
    """Follows one call's received audio.

    Args:
        keep_audio: Whether to keep the audio for `recording`.
    """

    def __init__(self, *, keep_audio: bool = True):
        self._keep = keep_audio
        self._pieces: list[_Piece] = []
        self._loud: list[_Loud] = []
        self._free_at: float | None = None
        self._marked_at = float("-inf")
        self._resumed_at = float("-inf")
        self._first_loud: float | None = None
        self._messages = 0
        self._audio_s = 0.0
        self._late = 0
        self._max_late_s = 0.0
        self._max_lead_s = 0.0

    def hear(self, now: float, pcm: bytes, sample_rate: int) -> bool:
        """Audio arrived; returns whether there is sound in it."""
        if self._free_at is not None and now - self._free_at > DRY_S:
            self._resumed_at = now
        plays_at = self._schedule(now)
        seconds = AudioFormat(sample_rate).ms_in(len(pcm)) / 1000
        self._free_at = plays_at + seconds
        self._messages += 1
        self._audio_s += seconds
        if self._keep:
            self._pieces.append(_Piece(plays_at, pcm, sample_rate))
        span = loud_span(pcm, sample_rate)
        if span is None:
            return False
        self._note_first(now)
        self._loud.append(_Loud(now, plays_at + span[1] / sample_rate))
        return True

    def flush(self, now: float) -> None:
        """The player forgets everything it has not played yet."""
        if self._free_at is not None:
            self._free_at = min(self._free_at, now)
        if self._loud:
            last = self._loud[-1]
            self._loud[-1] = _Loud(last.arrived, min(last.plays_until, now))
        while self._pieces and self._pieces[-1].plays_at >= now:
            self._pieces.pop()
        if self._pieces:
            last_piece = self._pieces[-1]
            keep = AudioFormat(last_piece.sample_rate).bytes_in((now - last_piece.plays_at) * 1000)
            self._pieces[-1] = _Piece(
                last_piece.plays_at, last_piece.pcm[:keep], last_piece.sample_rate
            )

    def mark(self, now: float) -> None:
        """From here on, listen for the next beginning of speech (`first_loud`)."""
        self._marked_at = now
        self._first_loud = None

    @property
    def first_loud(self) -> float | None:
        """When the first sound since the mark arrived.

        Sound that merely continues what was being said at the mark does not count.
        """
        return self._first_loud

    @property
    def loud_until(self) -> float | None:
        """When the last sound received is played out; None before any."""
        return self._loud[-1].plays_until if self._loud else None

    def speaking(self, now: float) -> bool:
        """Whether the agent can be heard now."""
        until = self.loud_until
        return until is not None and now < until

    def stop_after(self, since: float, until: float | None = None) -> tuple[float, float] | None:
        """Where the agent stopped speaking after it was interrupted at `since`.

        Args:
            since: When the caller began to speak over it.
            until: When the next answer began; later sound is not looked at.

        Returns:
            Arrival and end of play-out of the last sound before the first pause of `STOP_GAP_S`;
            `since` for the arrival when no sound came after it. None before any sound at all.
        """
        stop: tuple[float, float] | None = None
        free_at = since
        for loud in self._loud:
            if until is not None and loud.arrived >= until:
                break
            if loud.arrived < since:
                stop = (since, max(since, loud.plays_until))
            elif loud.arrived - free_at > STOP_GAP_S:
                break
            else:
                stop = (loud.arrived, loud.plays_until)
            free_at = max(since, loud.plays_until)
        return stop

    def stats(self) -> PlayoutStats:
        """Pacing so far."""
        return PlayoutStats(
            messages=self._messages,
            audio_ms=self._audio_s * 1000,
            late_messages=self._late,
            max_late_ms=self._max_late_s * 1000,
            max_lead_ms=self._max_lead_s * 1000,
        )

    def recording(self, start: float, sample_rate: int) -> bytes:
        """What was played, as one PCM16 track that begins at `start`."""
        if not self._pieces:
            return b""
        last = self._pieces[-1]
        seconds = last.plays_at + AudioFormat(last.sample_rate).ms_in(len(last.pcm)) / 1000 - start
        track = np.zeros(max(round(seconds * sample_rate) + 1, 0), "<i2")
        for spurt_at, pcm, rate in self._spurts():
            samples = samples_of(resample(pcm, rate, sample_rate))
            at = max(round((spurt_at - start) * sample_rate), 0)
            samples = samples[: max(len(track) - at, 0)]
            track[at : at + len(samples)] = samples
        return bytes(track.tobytes())

    def _spurts(self) -> list[tuple[float, bytes, int]]:
        """Pieces that play without a gap, joined, so that resampling leaves no seams."""
        spurts: list[tuple[float, bytearray, int]] = []
        free_at = float("-inf")
        for piece in self._pieces:
            joined = spurts and spurts[-1][2] == piece.sample_rate
            if joined and piece.plays_at - free_at < MAX_FORGIVEN_LATENESS_S:
                spurts[-1][1].extend(piece.pcm)
            else:
                spurts.append((piece.plays_at, bytearray(piece.pcm), piece.sample_rate))
            seconds = AudioFormat(piece.sample_rate).ms_in(len(piece.pcm)) / 1000
            free_at = piece.plays_at + seconds
        return [(at, bytes(pcm), rate) for at, pcm, rate in spurts]

    def _schedule(self, now: float) -> float:
        """When audio that arrives now is played; keeps the statistics."""
        free_at = self._free_at
        if free_at is None or now - free_at > SPURT_GAP_S:
            return now
        late = now - free_at
        if late <= MAX_FORGIVEN_LATENESS_S:
            self._max_lead_s = max(self._max_lead_s, -late)
            return free_at if late <= 0 else now
        self._late += 1
        self._max_late_s = max(self._max_late_s, late)
        return now

    def _note_first(self, now: float) -> None:
        if self._first_loud is not None:
            return
        until = self.loud_until
        resumed = self._resumed_at > self._marked_at
        if until is not None and now - until < SPURT_GAP_S and not resumed:
            return  # what was being said at the mark goes on
        self._first_loud = now
