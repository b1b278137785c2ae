"""The embedded text-to-speech inside a real Pipecat pipeline."""

import asyncio
from typing import TypeVar

import numpy as np
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import run_test
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.flite import flite_available
from antiphon.services.embedded.tts import EmbeddedTTSService, EmbeddedTTSSettings

T = TypeVar("T")
PARAMS = PipelineParams(audio_out_sample_rate=16_000)


def samples(frames: list[TTSAudioRawFrame]) -> np.ndarray:
    return np.frombuffer(b"".join(frame.audio for frame in frames), "<i2").astype(int)


async def run(service: EmbeddedTTSService, *frames: Frame) -> tuple[list[Frame], list[Frame]]:
    down, up = await run_test(
        service, frames_to_send=list(frames), pipeline_params=PARAMS, start_timeout=10
    )
    return list(down), list(up)


def of(kind: type[T], frames: list[Frame]) -> list[T]:
    return [frame for frame in frames if isinstance(frame, kind)]


async def test_a_turn_of_two_sentences_is_spoken_at_the_pipelines_rate() -> None:
    text = "Your cart has two blue mugs. The total is $34.50."
    down, _ = await run(
        EmbeddedTTSService(),
        LLMFullResponseStartFrame(),
        LLMTextFrame(text),
        LLMFullResponseEndFrame(),
    )
    audio = of(TTSAudioRawFrame, down)
    assert {frame.sample_rate for frame in audio} == {16_000}
    assert 3 < len(samples(audio)) / 16_000 < 7
    assert np.flatnonzero(np.abs(samples(audio)) > 64)[0] < 0.02 * 16_000
    assert len(of(TTSStartedFrame, down)) == len(of(TTSStoppedFrame, down)) == 1
    words = of(TTSTextFrame, down)
    assert " ".join(word.text for word in words) == text
    times = [word.pts for word in words]
    assert all(times)
    assert times == sorted(times)
    spoken_s = (times[-1] - times[0]) / 1e9
    assert spoken_s < len(samples(audio)) / 16_000


@pytest.mark.skipif(not flite_available(), reason="libflite1 is not installed")
async def test_flite_is_used_when_asked_for() -> None:
    service = EmbeddedTTSService(settings=EmbeddedTTSSettings(model="flite", voice="rms"))
    down, _ = await run(service, TTSSpeakFrame("Two blue mugs."))
    assert 0.5 < len(samples(of(TTSAudioRawFrame, down))) / 16_000 < 3
    assert [word.text for word in of(TTSTextFrame, down)] == ["Two", "blue", "mugs."]


async def test_text_with_nothing_to_say_is_no_failure() -> None:
    down, up = await run(EmbeddedTTSService(), *(TTSSpeakFrame("...") for _ in range(4)))
    assert of(ErrorFrame, up) == []
    assert len(of(TTSStoppedFrame, down)) == 4


async def test_settings_can_change_during_a_call() -> None:
    faster = TTSUpdateSettingsFrame(delta=EmbeddedTTSSettings(rate_wpm=400))
    down, _ = await run(
        EmbeddedTTSService(),
        TTSSpeakFrame("Your cart has two blue mugs."),
        faster,
        TTSSpeakFrame("Your cart has two blue mugs."),
    )
    stop = next(i for i, frame in enumerate(down) if isinstance(frame, TTSStoppedFrame))
    slow, fast = (len(samples(of(TTSAudioRawFrame, part))) for part in (down[:stop], down[stop:]))
    assert fast < 0.7 * slow


def test_bad_settings_are_refused_before_any_call_all_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"rate_wpm is 9000.*; pitch is -1"):
        EmbeddedTTSService(settings=EmbeddedTTSSettings(rate_wpm=9000, pitch=-1))
    with pytest.raises(ConfigurationError, match="model is 'siri'"):
        EmbeddedTTSService(settings=EmbeddedTTSSettings(model="siri"))
    with pytest.raises(ConfigurationError, match="no voice 'nobody'"):
        EmbeddedTTSService(settings=EmbeddedTTSSettings(voice="nobody"))


class Loudspeaker(BaseOutputTransport):
    """An output transport that plays audio in the time it lasts, into nothing."""

    async def start(self, frame: Frame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(len(frame.audio) / 2 / frame.sample_rate)
        return True


class Listener(FrameProcessor):
    """Notes the words that were played and tells when there are enough."""

    def __init__(self, enough: int):
        super().__init__()
        self.words: list[str] = []
        self.heard_enough = asyncio.Event()
        self.stopped = asyncio.Event()
        self._enough = enough

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame):
            self.words.append(frame.text)
            if len(self.words) >= self._enough:
                self.heard_enough.set()
        elif isinstance(frame, InterruptionFrame):
            self.stopped.set()
        await self.push_frame(frame, direction)


async def test_after_an_interruption_only_the_words_played_are_reported() -> None:
    listener = Listener(enough=2)
    output = Loudspeaker(TransportParams(audio_out_enabled=True, audio_out_sample_rate=16_000))
    worker = PipelineWorker(Pipeline([EmbeddedTTSService(), output, listener]), params=PARAMS)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def caller() -> None:
        await worker.queue_frame(TTSSpeakFrame("Your cart has two blue mugs and one desk lamp."))
        async with asyncio.timeout(20):
            await listener.heard_enough.wait()
            await worker.queue_frame(InterruptionFrame())
            await listener.stopped.wait()
        await worker.cancel()

    await asyncio.gather(runner.run(), caller())
    assert listener.words[:2] == ["Your", "cart"]
    assert len(listener.words) <= 4
