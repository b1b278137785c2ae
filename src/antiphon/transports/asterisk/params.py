"""Settings of the Asterisk transport."""

from pipecat.transports.base_transport import TransportParams
from pydantic import Field

from antiphon.protocols.asterisk import MAX_MEDIA_BYTES

REMOTE_BUFFER_SIZE = 1000
"""Frames that Asterisk's queue holds; what comes beyond is dropped silently."""
LOW_WATER = 0.1
"""Share of the queue below which audio is sent at once."""
HIGH_WATER = 0.8
"""Share of the queue that is not exceeded."""
MIN_BATCH = 50
"""Between the waters, frames to wait for before sending."""
MAX_WS_SEND = 65_500
"""Most bytes of one media message."""


class AsteriskWebsocketParams(TransportParams):
    """Settings of `AsteriskWebsocketTransport`.

    Audio is on both ways, and no silence is sent at the end: the transport waits until what was
    said has been played. A rate that is not set is the pipeline's (`PipelineParams`); the channel's
    own rate is resampled to it at the edge.

    Parameters:
        auto_answer: Send ANSWER when the pipeline has started. Asterisk needs it when the dial
            string has `n`, and ignores it otherwise.
        auto_hang_up: Send HANGUP when the pipeline ends; otherwise the socket is only closed, and
            Asterisk ends the channel because of that.
        audio_in_frame_ms: Length of the audio frames pushed into the pipeline, ms; None: as they
            come, which is `ptime` (20 ms).
        lead_ms: With a filter or a mixer audio cannot be sent ahead of time, because they work
            when it is played. How far ahead it is sent then, ms.
        media_start_timeout_secs: Longest wait for MEDIA_START.
        drain_timeout_secs: At an EndFrame, how much longer than the queued audio lasts its end is
            waited for.
        hang_up_timeout_secs: How long Asterisk may take to close the socket after HANGUP.
        queue_frames: Frames that Asterisk's queue holds.
        low_water: Share of the queue below which audio is sent at once.
        high_water: Share of the queue that is not exceeded.
        min_batch_frames: Between the waters, frames to wait for before sending.
        max_send_bytes: Most bytes of one media message.
        mark_interval_ms: Audio between two marks, ms: how exactly the player's position is known.
    """

    audio_in_enabled: bool = True
    audio_out_enabled: bool = True
    audio_out_end_silence_secs: int = 0
    auto_answer: bool = True
    auto_hang_up: bool = True
    audio_in_frame_ms: int | None = Field(default=None, ge=10, le=1000)
    lead_ms: int = Field(default=120, ge=20, le=2000)
    media_start_timeout_secs: float = Field(default=10.0, gt=0)
    drain_timeout_secs: float = Field(default=5.0, ge=0)
    hang_up_timeout_secs: float = Field(default=1.0, ge=0)
    queue_frames: int = Field(default=REMOTE_BUFFER_SIZE, ge=10)
    low_water: float = Field(default=LOW_WATER, ge=0, lt=1)
    high_water: float = Field(default=HIGH_WATER, gt=0, le=1)
    min_batch_frames: int = Field(default=MIN_BATCH, ge=1)
    max_send_bytes: int = Field(default=MAX_WS_SEND, ge=640, le=MAX_MEDIA_BYTES)
    mark_interval_ms: int = Field(default=200, ge=20)
