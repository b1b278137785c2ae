"""A caller: a client that places calls over any of the WebSocket transports.

Used by `antiphon call`, `antiphon demo`, `antiphon load` and the tests. It is strict as the real
peers are, and it measures what a caller would notice.
"""

from antiphon.cli.caller.call import Call, CallFailed, NoAnswer
from antiphon.cli.caller.codecs import CallerCodec, codec_for
from antiphon.cli.caller.report import CallReport, Turn
from antiphon.cli.caller.sound import read_audio, shipped_audio, write_stereo, write_wav

__all__ = [
    "Call",
    "CallFailed",
    "CallReport",
    "CallerCodec",
    "NoAnswer",
    "Turn",
    "codec_for",
    "read_audio",
    "shipped_audio",
    "write_stereo",
    "write_wav",
]
