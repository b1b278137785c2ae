"""What the output does with audio of all kinds: ends, tones, volume, mixers and filters."""

import asyncio

import numpy as np
import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.audio.mixers.base_audio_mixer import BaseAudioMixer
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    EndFrame,
    FilterControlFrame,
    Frame,
    InterruptionFrame,
    MixerControlFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    OutputTransportMessageUrgentFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VolumeFrame,
)
from pipecat.utils.text.base_text_aggregator import TextType

from antiphon.testing.asterisk.channel import Channel
from antiphon.transports.asterisk import AsteriskWebsocketParams
from transports.asterisk.bots import calling, level, noise, pitch, tone

RATE = 16_000


class Halving(BaseAudioFilter):
    """Halves what passes."""

    async def start(self, sample_rate: int) -> None:
        self.rate = sample_rate

    async def stop(self) -> None:
        """Nothing was started."""

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """No settings."""

    async def filter(self, audio: bytes) -> bytes:
        return (np.frombuffer(audio, np.int16) // 2).astype(np.int16).tobytes()


class Humming(BaseAudioMixer):
    """A constant under all that is said."""

    async def start(self, sample_rate: int) -> None:
        self.rate = sample_rate

    async def stop(self) -> None:
        """Nothing was started."""

    async def process_frame(self, frame: MixerControlFrame) -> None:
        """No settings."""

    async def mix(self, audio: bytes) -> bytes:
        return (np.frombuffer(audio, np.int16) + 1_000).astype(np.int16).tobytes()


def heard(channel: Channel) -> bytes:
    return channel.heard_samples.tobytes()


async def test_audio_without_an_end_is_played_to_its_last_sample() -> None:
    """A source that never says TTSStoppedFrame; the last part of a frame is filled up."""
    async with calling(codec="slin16") as (channel, bot):
        said = noise(RATE, 0.333)
        for at in range(0, len(said), 1_000):
            await bot.worker.queue_frame(OutputAudioRawFrame(said[at : at + 1_000], RATE, 1))
        await bot.after.wait_for(lambda: len(bot.passed_audio()) == len(said))
        assert heard(channel)[: len(said)] == said
        assert not any(heard(channel)[len(said) :])


async def test_live_audio_in_small_pieces_is_played_without_padding() -> None:
    """30 ms at a time, as it is made: nothing is ended in between."""
    async with calling(codec="slin16") as (channel, bot):
        said = noise(RATE, 0.9)
        for at in range(0, len(said), 960):
            await bot.worker.queue_frame(OutputAudioRawFrame(said[at : at + 960], RATE, 1))
            await asyncio.sleep(0.03)
        await bot.after.wait_for(lambda: len(bot.passed_audio()) == len(said))
        assert heard(channel)[: len(said)] == said


async def test_stereo_at_another_rate_is_mixed_down_and_resampled() -> None:
    async with calling(codec="ulaw", rates=(RATE, 24_000)) as (channel, bot):
        left = np.frombuffer(tone(48_000, 0.4, hz=700), np.int16)
        stereo = np.column_stack([left, left]).tobytes()
        await bot.worker.queue_frames([TTSAudioRawFrame(stereo, 48_000, 2), TTSStoppedFrame()])
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert len(heard(channel)) / 16_000 == pytest.approx(0.4, abs=0.025)
        assert pitch(heard(channel), 8_000) == pytest.approx(700, abs=4)
        assert {f.sample_rate for f in bot.after.of(OutputAudioRawFrame)} == {24_000}


async def test_volume_changes_in_order_with_the_audio() -> None:
    params = AsteriskWebsocketParams(audio_out_volume=0.5)
    async with calling(codec="slin16", params=params) as (channel, bot):
        piece = np.full(8_000, 8_000, np.int16).tobytes()
        await bot.worker.queue_frames(
            [
                OutputAudioRawFrame(piece, RATE, 1),
                VolumeFrame(volume=1.0),
                OutputAudioRawFrame(piece, RATE, 1),
                TTSStoppedFrame(),
            ]
        )
        await bot.after.wait_for_frame(TTSStoppedFrame)
        expected = np.concatenate([np.full(8_000, 4_000), np.full(8_000, 8_000)])
        assert np.array_equal(channel.heard_samples, expected)
        passed = np.frombuffer(bot.passed_audio(), np.int16)
        assert np.array_equal(passed, expected)


@pytest.mark.parametrize("urgent", [False, True])
async def test_key_tones_are_audio(urgent: bool) -> None:
    async with calling(codec="slin16") as (channel, bot):
        kind = OutputDTMFUrgentFrame if urgent else OutputDTMFFrame
        await bot.worker.queue_frame(kind(buttons=[KeypadEntry.FIVE]))
        await channel.wait_until_speaking()
        await channel.wait_until_quiet(quiet_s=0.2)
        spectrum = np.abs(np.fft.rfft(channel.heard_samples.astype(float)))
        hz = np.fft.rfftfreq(len(channel.heard_samples), 1 / RATE)
        low = hz[np.argmax(np.where(hz < 1_000, spectrum, 0))]
        high = hz[np.argmax(np.where(hz > 1_000, spectrum, 0))]
        assert (low, high) == (pytest.approx(770, abs=10), pytest.approx(1_336, abs=15))


async def test_key_tones_keep_their_place_among_speech() -> None:
    async with calling(codec="slin16") as (channel, bot):
        first, last = noise(RATE, 0.2), noise(RATE, 0.2, seed=2)
        await bot.worker.queue_frames(
            [
                OutputAudioRawFrame(first, RATE, 1),
                OutputDTMFFrame(buttons=[KeypadEntry.ONE]),
                OutputAudioRawFrame(last, RATE, 1),
                TTSStoppedFrame(),
            ]
        )
        await bot.after.wait_for_frame(TTSStoppedFrame)
        played = heard(channel)
        assert played.startswith(first)
        assert played.rstrip(b"\0").endswith(last[-1_000:].rstrip(b"\0"))
        assert len(played) > len(first) + len(last) + RATE * 2 * 0.1
        assert len(bot.after.of(OutputDTMFFrame)) == 1


async def test_sentences_pass_after_their_audio() -> None:
    """A service without word times: the text follows the audio it belongs to."""
    async with calling(codec="slin16") as (channel, bot):
        spoken: list[tuple[str, int]] = []
        bot.transport.output().on_spoken = lambda text: spoken.append((text, len(heard(channel))))
        frames: list[Frame] = []
        for number in range(3):
            frames.append(TTSAudioRawFrame(noise(RATE, 0.3), RATE, 1, context_id="c"))
            frames.append(TTSTextFrame(f"Sentence {number}.", TextType.SENTENCE))
        await bot.worker.queue_frames([*frames, TTSStoppedFrame(context_id="c")])
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert [text for text, _ in spoken] == ["Sentence 0.", "Sentence 1.", "Sentence 2."]
        for number, (_, size) in enumerate(spoken, start=1):
            assert size == pytest.approx(number * 9_600, abs=RATE * 2 * 0.06)


async def test_a_filter_works_on_what_is_played() -> None:
    params = AsteriskWebsocketParams(audio_out_filter=Halving())
    async with calling(codec="slin16", params=params) as (channel, bot):
        piece = np.full(RATE // 2 + 100, 6_000, np.int16).tobytes()
        await bot.worker.queue_frames([TTSAudioRawFrame(piece, RATE, 1), TTSStoppedFrame()])
        await bot.after.wait_for_frame(BotStoppedSpeakingFrame)
        await channel.wait_until_quiet(quiet_s=0.1)
        samples = channel.heard_samples
        assert np.all(samples[: RATE // 2 + 100] == 3_000)
        assert not np.any(samples[RATE // 2 + 100 :])
        assert channel.model is not None
        assert channel.model.max_queue_length <= 12  # lead_ms and a chunk, no look-ahead
        assert len(channel.commands("STOP_MEDIA_BUFFERING")) == 1


async def test_a_filter_of_what_is_heard() -> None:
    params = AsteriskWebsocketParams(audio_in_filter=Halving())
    said = np.full(RATE // 2, 5_000, np.int16).tobytes()
    async with calling(codec="slin16", params=params, speak=said) as (_, bot):
        await bot.before.wait_for(lambda: len(bot.before.audio) >= RATE)
        assert np.all(np.frombuffer(bytes(bot.before.audio[:RATE]), np.int16) == 2_500)


async def test_with_a_filter_the_goodbye_is_heard_to_its_end() -> None:
    params = AsteriskWebsocketParams(audio_out_filter=Halving(), lead_ms=400)
    async with calling(codec="slin16", params=params) as (channel, bot):
        piece = np.full(RATE // 2 + 100, 6_000, np.int16).tobytes()
        await bot.worker.queue_frames(
            [TTSAudioRawFrame(piece, RATE, 1), TTSStoppedFrame(), EndFrame()]
        )
        await channel.wait_closed()
        assert np.count_nonzero(channel.heard_samples == 3_000) == RATE // 2 + 100


async def test_resampling_starts_anew_after_an_interruption() -> None:
    async with calling(codec="slin", rates=(RATE, 24_000)) as (channel, bot):
        loud = np.full(24_000 * 5, 12_000, np.int16).tobytes()
        await bot.worker.queue_frame(TTSAudioRawFrame(loud, 24_000, 1))
        await channel.wait_for(lambda: len(channel.heard) >= 10)
        await bot.interrupt()
        await bot.after.wait_for_frame(InterruptionFrame)
        await channel.wait_for(lambda: channel.model.queue_length == 0)
        before = len(channel.heard)
        quiet = np.full(24_000 // 5, 100, np.int16).tobytes()
        await bot.worker.queue_frames([TTSAudioRawFrame(quiet, 24_000, 1), TTSStoppedFrame()])
        await bot.after.wait_for_frame(TTSStoppedFrame)
        new = b"".join(frame.data for frame in channel.heard[before:])
        assert np.abs(np.frombuffer(new, np.int16)).max() <= 130


async def test_a_mixer_runs_all_the_time_and_is_interrupted_with_the_rest() -> None:
    params = AsteriskWebsocketParams(audio_out_mixer=Humming())
    async with calling(codec="slin16", params=params) as (channel, bot):
        await channel.wait_for(lambda: len(channel.heard) >= 10)
        await bot.worker.queue_frame(
            TTSAudioRawFrame(np.full(RATE * 5, 5_000, np.int16).tobytes(), RATE, 1)
        )
        await channel.wait_for(lambda: channel.heard_samples.max() == 6_000)
        at = len(channel.heard_samples)
        await bot.interrupt()
        await bot.after.wait_for_frame(InterruptionFrame)
        await channel.wait_for(lambda: len(channel.heard_samples) > at + RATE // 2)
        assert np.all(channel.heard_samples[: at - 640] >= 1_000)
        assert np.all(channel.heard_samples[at + RATE // 4 :] == 1_000)
        await bot.worker.queue_frame(EndFrame())
        await channel.wait_closed()


async def test_an_application_may_flush_without_an_interruption() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(RATE, 10), RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 10)
        await bot.worker.queue_frame(
            OutputTransportMessageUrgentFrame(message={"command": "FLUSH_MEDIA"})
        )
        await channel.wait_for_command("FLUSH_MEDIA")
        assert channel.model is not None
        await channel.wait_for(lambda: channel.model.queue_length == 0)
        said = noise(RATE, 0.2, seed=3)
        size = len(heard(channel))
        await bot.say(said, RATE, context="two")
        await channel.wait_for(lambda: len(heard(channel)) >= size + len(said))
        assert heard(channel)[size:] == said


async def test_the_end_does_not_wait_for_ever() -> None:
    """Asterisk's player stands still: PAUSE_MEDIA, and nobody continues."""
    params = AsteriskWebsocketParams(drain_timeout_secs=0.3)
    async with calling(codec="slin16", params=params) as (channel, bot):
        await bot.say(noise(RATE, 0.5), RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 5)
        await bot.worker.queue_frame(
            OutputTransportMessageUrgentFrame(message={"command": "PAUSE_MEDIA"})
        )
        await channel.wait_for_command("PAUSE_MEDIA")
        await bot.worker.queue_frame(EndFrame())
        await channel.wait_closed(within_s=3)
        assert level(heard(channel)) > 1_000


async def test_a_paused_player_holds_everything_that_follows() -> None:
    async with calling(codec="slin16") as (channel, bot):
        said = noise(RATE, 0.6)
        await bot.say(said, RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 5)
        for command in ("PAUSE_MEDIA", "CONTINUE_MEDIA"):
            await bot.worker.queue_frame(
                OutputTransportMessageUrgentFrame(message={"command": command})
            )
            await channel.wait_for_command(command)
            if command == "PAUSE_MEDIA":
                await asyncio.sleep(0.5)
                assert not bot.after.of(TTSStoppedFrame)
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert heard(channel) == said
