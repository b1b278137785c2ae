"""Real audio both ways over real sockets, at the rates and formats of Asterisk's channels."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    TTSStoppedFrame,
)

from antiphon.protocols.asterisk_formats import media_format
from antiphon.testing.asterisk import MediaCodec, Network, Stall
from antiphon.transports.asterisk import AsteriskWebsocketParams
from antiphon.transports.asterisk.media import media_codec
from transports.asterisk.bots import calling, dialled, level, noise, pitch, tone

FORMATS = [
    (codec, control)
    for codec in ("slin", "slin16", "slin48", "ulaw")
    for control in ("json", "plain-text")
]


@pytest.mark.parametrize(("codec", "control"), FORMATS)
async def test_audio_passes_both_ways(codec: str, control: str) -> None:
    """A tone each way, the pipeline at 16 kHz in and 24 kHz out, as Pipecat's defaults are."""
    async with calling(codec=codec, control=control, rates=(16_000, 24_000)) as (channel, bot):
        rate = channel.codec.sample_rate
        channel.say(tone(rate, 0.5, hz=440))
        await channel.wait_until_said()
        await bot.before.wait_for(lambda: len(bot.before.audio) >= 15_500)
        heard = bytes(bot.before.audio[:15_500])
        assert pitch(heard, 16_000) == pytest.approx(440, abs=3)
        assert level(heard) == pytest.approx(7_070, rel=0.1)

        await bot.say(tone(24_000, 0.5, hz=660), 24_000)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        played = channel.heard_samples.tobytes()
        assert len(played) / 2 / rate == pytest.approx(0.5, abs=0.025)
        assert pitch(played, rate) == pytest.approx(660, abs=3)
        assert level(played) == pytest.approx(7_070, rel=0.1)
        start = bot.values("on_media_start")[0]
        assert start.format == codec
        assert bool(start.channel_variables) == (control == "json")


async def test_g722() -> None:
    pytest.importorskip("av")
    peer = media_codec(media_format("g722"))
    codec = MediaCodec(
        "g722",
        16_000,
        8_000,
        lambda samples: peer.encode(samples.tobytes()),
        lambda data: np.frombuffer(peer.decode(data), np.int16),
        0xFF,
    )
    async with calling(codec=codec, rates=(16_000, 24_000), send_silence=False) as (channel, bot):
        channel.say(tone(16_000, 0.5))
        await bot.before.wait_for(lambda: len(bot.before.audio) >= 15_000)
        assert pitch(bytes(bot.before.audio[:15_000]), 16_000) == pytest.approx(440, abs=3)
        await bot.say(tone(24_000, 0.51, hz=660), 24_000)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert len(channel.heard_bytes) == pytest.approx(0.51 * 8_000, abs=320)
        played = b"".join(peer.decode(frame.data) for frame in channel.heard)
        assert pitch(played, 16_000) == pytest.approx(660, abs=3)


async def test_caller_audio_is_bit_exact_where_rates_agree() -> None:
    said = noise(16_000, 0.6)
    async with calling(codec="slin16", speak=said, send_silence=False) as (channel, bot):
        await channel.wait_until_said()
        await bot.before.wait_for(lambda: len(bot.before.audio) >= len(said))
        assert bytes(bot.before.audio) == said


async def test_twenty_seconds_are_played_bit_exact_under_stalls() -> None:
    """slin48, half-second stalls: nothing lost, the queue below high water and a batch."""
    said = noise(48_000, 20.01)
    stalls = tuple(Stall(at, 0.5) for at in (1.0, 5.0, 9.3, 16.0))
    async with calling(
        codec="slin48", rates=(16_000, 48_000), network=Network(stalls=stalls, jitter_ms=30)
    ) as (channel, bot):
        await bot.say(said, 48_000, piece=9_600)
        await bot.after.wait_for(lambda: bot.after.of(TTSStoppedFrame), within_s=30)
        played = channel.heard_bytes
        assert played[: len(said)] == said
        assert not any(played[len(said) :])
        assert len(played) - len(said) < channel.codec.frame_bytes(20)
        assert channel.model is not None
        assert channel.model.max_queue_length <= 850
        assert channel.model.counters.messages_dropped == 0
        assert channel.model.counters.remainder_bytes_dropped == 0
        gaps = [
            later.at - earlier.at
            for earlier, later in zip(channel.heard, channel.heard[1:], strict=False)
        ]
        assert max(gaps) < 0.03  # played without a pause
        assert bot.passed_audio() == said


async def test_what_follows_the_audio_passes_when_it_was_heard() -> None:
    async with calling(codec="slin16") as (_, bot):
        await bot.say(noise(16_000, 0.8), 16_000)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        lasted = bot.after.time_of(BotStoppedSpeakingFrame) - bot.after.time_of(
            BotStartedSpeakingFrame
        )
        assert lasted == pytest.approx(0.8, abs=0.1)
        assert bot.transport.played_ms() == pytest.approx(800, abs=20)
        assert bot.transport.queued_ms() == 0


async def test_keys_are_frames_and_events() -> None:
    async with calling(codec="ulaw", control="plain-text") as (channel, bot):
        channel.press("4*#A")
        await bot.before.wait_for_frame(InputDTMFFrame, count=3)
        assert [frame.button.value for frame in bot.before.of(InputDTMFFrame)] == ["4", "*", "#"]
        await channel.wait_for(lambda: len(bot.values("on_dtmf")) == 4)
        assert bot.values("on_dtmf") == ["4", "*", "#", "A"]


async def test_commands_as_messages_and_their_answers() -> None:
    async with calling(codec="slin16") as (channel, bot):
        for message in (
            {"command": "GET_STATUS"},
            {"command": "MARK_MEDIA", "correlation_id": "mine"},
            {"command": "REPORT_QUEUE_DRAINED"},
            {"command": "SET_MEDIA_DIRECTION", "direction": "both"},
            {"label": "rtvi-ai", "type": "bot-ready"},
        ):
            await bot.worker.queue_frame(OutputTransportMessageUrgentFrame(message=message))
        for event in ("on_status", "on_mark", "on_queue_drained"):
            await channel.wait_for(lambda event=event: bot.values(event), what=event)
        assert bot.values("on_mark") == ["mine"]
        assert bot.values("on_status")[0].xoff_level == 900
        assert not channel.events("ERROR")


async def test_a_command_that_cannot_be_sent_is_an_error_not_the_end() -> None:
    async with calling(codec="slin", control="plain-text", rates=(8_000, 8_000)) as (channel, bot):
        message = {"command": "SET_MEDIA_DIRECTION", "direction": "in"}
        await bot.worker.queue_frame(OutputTransportMessageUrgentFrame(message=message))
        await bot.worker.queue_frame(
            OutputTransportMessageUrgentFrame(message={"command": "STOP_MEDIA_BUFFERING"})
        )
        said = noise(8_000, 0.3)
        await bot.say(said, 8_000)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert channel.heard_bytes[: len(said)] == said
        assert not channel.commands("SET_MEDIA_DIRECTION")


async def test_a_message_in_order_is_sent_after_the_audio_before_it() -> None:
    async with calling(codec="slin16") as (channel, bot):
        said = noise(16_000, 0.4)
        await bot.say(said, 16_000)
        await bot.worker.queue_frame(OutputTransportMessageFrame(message={"command": "HANGUP"}))
        closed = await channel.wait_closed()
        assert closed.code == 1000
        assert channel.heard_bytes == said


async def test_the_end_of_the_pipeline_hangs_up_when_the_goodbye_was_heard() -> None:
    async with calling(codec="slin16") as (channel, bot):
        goodbye = noise(16_000, 0.707)
        await bot.say(goodbye, 16_000)
        await bot.worker.queue_frame(EndFrame())
        closed = await channel.wait_closed()
        assert (closed.by, closed.code) == ("asterisk", 1000)
        assert len(channel.commands("HANGUP")) == 1
        assert channel.heard_bytes[: len(goodbye)] == goodbye
        await bot.ended()
        assert bot.values("on_client_disconnected") == []
        assert bot.transport.departure is not None
        assert bot.transport.departure.reason == "hangup"


async def test_a_goodbye_that_is_interrupted_ends_the_call_at_once() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(16_000, 8), 16_000)
        await bot.worker.queue_frame(EndFrame())
        await channel.wait_for(lambda: len(channel.heard) >= 15)
        await bot.before.push_frame(InterruptionFrame())  # the worker takes no more frames
        closed = await channel.wait_closed(within_s=2)
        assert closed.code == 1000
        assert len(channel.commands("HANGUP")) == 1


async def test_the_caller_hangs_up_during_the_goodbye() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(16_000, 8), 16_000)
        await bot.worker.queue_frame(EndFrame())
        await channel.wait_for(lambda: len(channel.heard) >= 15)
        channel.hang_up()
        async with asyncio.timeout(2):
            await bot.ended()
        assert not channel.commands("HANGUP")


async def test_without_auto_hang_up_the_socket_is_closed() -> None:
    params = AsteriskWebsocketParams(auto_hang_up=False, auto_answer=True)
    async with calling(codec="slin16", params=params) as (channel, bot):
        await bot.worker.queue_frame(EndFrame())
        closed = await channel.wait_closed()
        assert (closed.by, closed.code) == ("application", 1000)
        assert not channel.commands("HANGUP")


async def test_a_cancelled_pipeline_hangs_up_at_once() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(16_000, 5), 16_000)
        await channel.wait_until_speaking()
        await bot.worker.queue_frame(CancelFrame())
        await channel.wait_closed(within_s=2)
        assert len(channel.commands("HANGUP")) == 1
        assert len(channel.heard_bytes) < 16_000 * 2 * 2


async def test_the_caller_hangs_up() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(16_000, 5), 16_000)
        await channel.wait_until_speaking()
        channel.hang_up()
        await bot.ended()
        assert len(bot.values("on_client_disconnected")) == 1
        assert bot.transport.departure is not None
        assert bot.transport.departure.reason == "disconnect"
        assert bot.transport.departure.close_code == 1000


async def test_the_socket_is_lost() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(16_000, 5), 16_000)
        await channel.wait_until_speaking()
        channel.abort()
        await bot.ended()
        assert len(bot.values("on_client_disconnected")) == 1
        assert bot.transport.departure is not None
        assert bot.transport.departure.reason == "lost"


@pytest.mark.parametrize("control", ["json", "plain-text"])
async def test_dialling_into_asterisk(control: str) -> None:
    said = noise(16_000, 0.4)
    async with dialled(codec="slin16", control=control, speak=said, send_silence=False) as (
        channel,
        bot,
    ):
        await bot.before.wait_for(lambda: len(bot.before.audio) >= len(said))
        assert bytes(bot.before.audio) == said
        await bot.say(said, 16_000)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert channel.heard_bytes == said
        assert bot.transport.remote.startswith("127.0.0.1:")
        channel.hang_up()
        await bot.ended()
        assert bot.transport.departure is not None
        assert bot.transport.departure.reason == "disconnect"
