"""Barge-in: the queue is empty at once, nothing stale follows, and only what was heard counts."""

import asyncio
from collections.abc import AsyncGenerator

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.tts_service import TTSService

from antiphon.testing.asterisk import Network, Stall
from antiphon.testing.asterisk.channel import Channel
from antiphon.transports.asterisk import AsteriskWebsocketTransport
from transports.asterisk.bots import Bot, calling, noise

RATE = 16_000
WORD_MS = 200


class WordByWord(TTSService):
    """Makes a whole sentence's audio at once; word n of a turn is n x 100 as every sample.

    Args:
        counts_silence: Whether words' times count silences within a turn, as some services do.
    """

    def __init__(self, *, counts_silence: bool = False) -> None:
        super().__init__(
            push_text_frames=False,
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=5,
        )
        self._counts_silence = counts_silence
        self._context = ""
        self._words = 0
        self._silence_s = self._began_s = 0.0

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        if context_id != self._context:
            self._context, self._words, self._silence_s = context_id, 0, 0.0
            self._began_s = self.get_clock().get_time() / 1e9
        if self._counts_silence:
            elapsed_s = self.get_clock().get_time() / 1e9 - self._began_s
            self._silence_s = max(self._silence_s, elapsed_s - self._words * WORD_MS / 1000)
        for word in text.split():
            at_s = self._words * WORD_MS / 1000 + self._silence_s
            self._words += 1
            sample = np.full(RATE * WORD_MS // 1000, self._words * 100, np.int16)
            yield TTSAudioRawFrame(sample.tobytes(), RATE, 1, context_id=context_id)
            await self.add_word_timestamps([(word, at_s)], context_id)


def words(count: int) -> list[str]:
    return [f"word{n}" for n in range(1, count + 1)]


class TalkingBot(Bot):
    """A bot with text-to-speech and the context's aggregators."""

    def __init__(self, transport: AsteriskWebsocketTransport, *, counts_silence: bool = False):
        self.context = LLMContext(messages=[])
        self.spoken: list[str] = []
        transport.output().on_spoken = self.spoken.append
        super().__init__(
            transport,
            rates=(RATE, RATE),
            middle=[WordByWord(counts_silence=counts_silence)],
            end=[LLMContextAggregatorPair(self.context).assistant()],
        )

    async def reply(self, sentences: list[list[str]]) -> None:
        await self.worker.queue_frames(
            [
                LLMFullResponseStartFrame(),
                *(LLMTextFrame(text=f"{' '.join(sentence)}. ") for sentence in sentences),
                LLMFullResponseEndFrame(),
            ]
        )

    def said(self) -> list[str]:
        """The words of the assistant in the context."""
        text = " ".join(str(message["content"]) for message in self.context.get_messages())
        return text.replace(".", "").split()


def heard_words(channel: Channel) -> int:
    """The number of the last word whose audio was played, if only in part."""
    samples = channel.heard_samples
    return int(samples.max()) // 100 if samples.size else 0


def after_last_flush(channel: Channel) -> float:
    return channel.commands("FLUSH_MEDIA")[-1].at


@pytest.mark.parametrize("control", ["json", "plain-text"])
async def test_the_queue_is_empty_at_once_and_nothing_stale_follows(control: str) -> None:
    async with calling(codec="slin16", control=control) as (channel, bot):
        old, new = noise(RATE, 30), noise(RATE, 0.4, seed=2)
        await bot.say(old, RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 25)
        assert channel.model is not None
        assert channel.model.queue_length > 300

        await bot.interrupt()
        await bot.after.wait_for_frame(InterruptionFrame)
        reached = bot.after.time_of(InterruptionFrame)
        await channel.wait_for(lambda: channel.model.queue_length == 0)
        assert asyncio.get_running_loop().time() - reached <= 0.05
        heard = len(channel.heard_bytes)
        assert old.startswith(channel.heard_bytes)

        await bot.say(new, RATE, context="two")
        await bot.after.wait_for(lambda: len(bot.after.of(TTSStoppedFrame)) >= 1)
        assert channel.heard_bytes[heard:] == new
        # Asterisk received nothing of the old one after the flush: all it got since is the new one.
        flushed = [m.name for m in channel.messages if m.at >= after_last_flush(channel)]
        assert flushed[0] == "FLUSH_MEDIA"
        counters = channel.model.counters
        assert counters.frames_queued == counters.frames_played + counters.frames_flushed
        assert counters.frames_played - heard // 640 == len(new) // 640


async def test_flush_goes_out_before_audio_that_waits_in_a_stalled_socket() -> None:
    async with calling(codec="slin192", rates=(RATE, RATE)) as (channel, bot):
        await bot.say(noise(RATE, 30), RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 5)
        channel.stall(0.4)
        await asyncio.sleep(0.1)
        await bot.interrupt()
        flush = await channel.wait_for_command("FLUSH_MEDIA")
        later = [m for m in channel.messages if m.by == "application" and m.at > flush.at]
        assert later == []
        assert channel.model is not None
        await channel.wait_for(lambda: channel.model.queue_length == 0)


async def test_audio_that_was_not_heard_does_not_pass_on() -> None:
    async with calling(codec="slin16") as (channel, bot):
        await bot.say(noise(RATE, 5), RATE)
        await channel.wait_for(lambda: len(channel.heard) >= 30)
        await bot.interrupt()
        await bot.after.wait_for_frame(BotStoppedSpeakingFrame)
        passed, heard = bot.passed_audio(), channel.heard_bytes
        assert heard.startswith(passed)
        assert len(heard) - len(passed) <= RATE * 2 * 0.1
        assert not bot.after.of(TTSStoppedFrame)


async def test_words_pass_when_they_are_heard() -> None:
    async with calling(codec="slin16", make=TalkingBot) as (channel, bot):
        await bot.reply([words(4), words(4)])
        await bot.after.wait_for_frame(TTSTextFrame)
        lags = []
        for number in range(2, 8):
            await bot.after.wait_for_frame(TTSTextFrame, count=number)
            lags.append(len(channel.heard) * 20 - (number - 1) * WORD_MS)
        assert all(-40 <= lag <= 80 for lag in lags), lags
        await channel.wait_for(bot.said)
        assert bot.after.of(LLMFullResponseEndFrame)
        assert bot.said() == [*words(4), *words(4)]
        assert [piece.strip(".") for piece in bot.spoken] == [*words(4), *words(4)]


@pytest.mark.parametrize("counts_silence", [False, True])
async def test_words_pass_when_they_are_heard_after_a_silence_too(counts_silence: bool) -> None:
    """The language model pauses in the middle of its reply, and the queue runs empty."""

    def make(transport: AsteriskWebsocketTransport) -> TalkingBot:
        return TalkingBot(transport, counts_silence=counts_silence)

    async with calling(codec="slin16", make=make) as (channel, bot):
        text = " ".join
        await bot.worker.queue_frames(
            [LLMFullResponseStartFrame(), LLMTextFrame(f"{text(words(3))}. And")]
        )
        await channel.wait_for(lambda: len(channel.heard) >= 30)
        await asyncio.sleep(0.7)
        await bot.worker.queue_frames(
            [LLMTextFrame(f" {text(words(7))}. "), LLMFullResponseEndFrame()]
        )
        lags = []
        for number in range(4, 12):
            await bot.after.wait_for_frame(TTSTextFrame, count=number)
            lags.append(len(channel.heard) * 20 - (number - 1) * WORD_MS)
        assert all(-60 <= lag <= 100 for lag in lags), lags


@pytest.mark.parametrize("after_words", [3, 9])
async def test_the_context_ends_at_the_last_word_heard(after_words: int) -> None:
    async with calling(codec="slin16", make=TalkingBot) as (channel, bot):
        await bot.reply([words(6), [f"word{n}" for n in range(7, 30)]])
        await channel.wait_for(lambda: heard_words(channel) >= after_words)
        await bot.interrupt()
        await bot.after.wait_for(lambda: bot.said())
        said = bot.said()
        assert said == words(len(said))
        assert abs(len(said) - heard_words(channel)) <= 1
        assert len(bot.spoken) == len(said)


async def test_words_wait_for_audio_that_waits_behind_other_speech() -> None:
    """Text-to-speech counts a word's time from when it made the audio; here it is played later."""
    async with calling(codec="slin16", make=TalkingBot) as (channel, bot):
        await bot.worker.queue_frame(OutputAudioRawFrame(noise(RATE, 1.0), RATE, 1))
        await bot.reply([words(8)])
        await bot.after.wait_for_frame(TTSTextFrame, count=3)
        frames = len(channel.heard) * 20 - 1000
        assert 2 * WORD_MS - 60 <= frames <= 2 * WORD_MS + 100


async def test_a_stalled_network_does_not_make_words_heard() -> None:
    stall = Network(stalls=(Stall(0.3, 1.2),))
    async with calling(codec="slin16", make=TalkingBot, network=stall) as (channel, bot):
        await asyncio.sleep(0.35)
        await bot.reply([words(20)])
        await asyncio.sleep(0.8)
        await bot.interrupt()
        await asyncio.sleep(0.1)
        # Nothing has got through yet: at most what the clock believed before the first mark.
        assert len(bot.spoken) <= 2
        assert heard_words(channel) == 0


async def test_uninterruptible_speech_is_played_to_its_end_in_one_piece() -> None:
    async with calling(codec="slin16") as (channel, bot):
        said = noise(RATE, 1.0)
        frames: list[Frame] = [
            TTSAudioRawFrame(said[at : at + 3_200], RATE, 1, context_id="must")
            for at in range(0, len(said), 3_200)
        ]
        frames.append(TTSStoppedFrame(context_id="must"))
        for frame in frames:
            frame.interruptible = False
        await bot.worker.queue_frames(frames)
        await channel.wait_for(lambda: len(channel.heard) >= 15)
        await bot.interrupt()
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert channel.heard_bytes == said
        assert bot.passed_audio() == said
        assert not channel.commands("FLUSH_MEDIA")


async def test_only_what_may_be_interrupted_is_dropped() -> None:
    async with calling(codec="slin16") as (channel, bot):
        must, may = noise(RATE, 0.813), noise(RATE, 3, seed=2)
        frame = TTSAudioRawFrame(must, RATE, 1, context_id="must")
        stopped = TTSStoppedFrame(context_id="must")
        frame.interruptible = stopped.interruptible = False
        await bot.worker.queue_frames([frame, stopped])
        await bot.say(may, RATE, context="may")
        await channel.wait_for(lambda: len(channel.heard) >= 15)
        await bot.interrupt()
        await bot.after.wait_for_frame(TTSStoppedFrame)
        await channel.wait_until_quiet(quiet_s=0.1)
        assert len(channel.commands("FLUSH_MEDIA")) == 1
        heard = channel.heard_bytes
        # Heard to its end; around the flush a frame or two may be played twice.
        assert heard.rstrip(b"\0").endswith(must[-8_000:])
        assert len(must) - 1_280 <= len(heard) <= len(must) + 4 * 640
        assert may[:2_000] not in heard
        assert bot.passed_audio() == must
