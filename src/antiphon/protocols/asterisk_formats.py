"""Media formats of an Asterisk channel by name: rate, encoding and frame sizes.

Sources: asterisk/asterisk, `main/codec_builtin.c` (names, rates, sizes) and
`channels/chan_websocket.c`; docs.asterisk.org, Configuration/Channel-Drivers/WebSocket. Frame sizes
agree with the `optimal_frame_size` that a real Asterisk told (`tests/captures/asterisk`). `slin` is
headerless PCM16 little-endian mono; the number in a name is the rate in kHz, 8 where there is none.
"""

from dataclasses import dataclass
from typing import Literal

from antiphon.domain.audio import BYTES_PER_SAMPLE
from antiphon.protocols.framing import printable

Encoding = Literal["pcm16", "ulaw", "alaw", "g722", "opus"]

DEFAULT_PTIME_MS = 20
"""Length of the frames that Asterisk sends and plays, ms, for every format here."""

_G722_BYTES_PER_SECOND = 8_000  # 64 kbit/s: one byte for two samples
_SILENCE = {"pcm16": 0x00, "ulaw": 0xFF, "alaw": 0xD5}


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What a channel's `format` means for the bytes on the wire; mono."""

    name: str
    """Asterisk's name, as in the dial string's `c(…)` and in MEDIA_START."""
    sample_rate: int
    """Hz, of the decoded audio; 16,000 for G.722, whatever RFC 3551 calls its RTP clock."""
    encoding: Encoding

    @property
    def is_fixed_size(self) -> bool:
        """Whether a frame's length in bytes follows from its length in time.

        Where it does not (opus), Asterisk passes frames through: one message is one frame, they are
        played when they arrive, and only ANSWER, HANGUP and GET_STATUS work.
        """
        return self.encoding != "opus"

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of media.

        Raises:
            ValueError: the format has no fixed frame size.
        """
        if self.encoding == "pcm16":
            return self.sample_rate * BYTES_PER_SAMPLE
        if self.encoding == "g722":
            return _G722_BYTES_PER_SECOND
        if self.encoding == "opus":
            raise ValueError("opus has no fixed frame size; pass its frames through one by one")
        return self.sample_rate

    @property
    def silence_byte(self) -> int | None:
        """The byte that, repeated, is silence; None for encodings with a state (G.722, opus)."""
        return _SILENCE.get(self.encoding)

    def frame_bytes(self, ptime_ms: float = DEFAULT_PTIME_MS) -> int:
        """Bytes of one frame of `ptime_ms` milliseconds: MEDIA_START's `optimal_frame_size`.

        Raises:
            ValueError: the format has no fixed frame size, or `ptime_ms` is no whole number of
                samples of it.
        """
        size = self.bytes_per_second * ptime_ms / 1000
        unit = BYTES_PER_SAMPLE if self.encoding == "pcm16" else 1
        if size <= 0 or size % unit:
            raise ValueError(
                f"ptime is {ptime_ms} ms, which is no whole number of samples of {self.name}; "
                "use a multiple of 10 ms"
            )
        return int(size)

    def bytes_to_ms(self, n_bytes: float) -> float:
        """Length of `n_bytes` bytes of media, ms.

        Raises:
            ValueError: the format has no fixed frame size.
        """
        return n_bytes / self.bytes_per_second * 1000


FORMATS: dict[str, MediaFormat] = {
    known.name: known
    for known in (
        MediaFormat("slin", 8_000, "pcm16"),
        MediaFormat("slin12", 12_000, "pcm16"),
        MediaFormat("slin16", 16_000, "pcm16"),
        MediaFormat("slin24", 24_000, "pcm16"),
        MediaFormat("slin32", 32_000, "pcm16"),
        MediaFormat("slin44", 44_100, "pcm16"),
        MediaFormat("slin48", 48_000, "pcm16"),
        MediaFormat("slin96", 96_000, "pcm16"),
        MediaFormat("slin192", 192_000, "pcm16"),
        MediaFormat("ulaw", 8_000, "ulaw"),
        MediaFormat("alaw", 8_000, "alaw"),
        MediaFormat("g722", 16_000, "g722"),
        MediaFormat("opus", 48_000, "opus"),
    )
}
"""Every format served here, by Asterisk's name."""

# Asterisk never says this, but people write it, after the pattern of the others.
_ALIASES = {"slin8": "slin"}


def media_format(name: str) -> MediaFormat:
    """The format that MEDIA_START names.

    Raises:
        ValueError: no such format is served; the message lists those that are.
    """
    lower = name.strip().lower()
    known = FORMATS.get(_ALIASES.get(lower, lower))
    if known is None:
        raise ValueError(
            f"format is {printable(name, 40)!r}, which is not served; set c(…) in the dial string "
            f"to one of {', '.join(FORMATS)}"
        )
    return known
