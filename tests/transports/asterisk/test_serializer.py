"""The serializer alone, and in Pipecat's own WebSocket transport."""

import asyncio
import json

import numpy as np
import pytest
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    TextFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

from antiphon.testing.asterisk import SimulatedChannel
from antiphon.transports.asterisk import AsteriskFrameSerializer
from transports.asterisk.bots import Recorder, noise, pitch, served, tone

PLAIN_START = (
    "MEDIA_START connection_id:pipecat channel:WebSocket/pipecat/0x1 channel_id:17.1 "
    "format:{} optimal_frame_size:{} ptime:20"
)


async def started(
    name: str = "slin16", size: int = 640, *, as_json: bool = False, **params: int | bool
) -> AsteriskFrameSerializer:
    serializer = AsteriskFrameSerializer(AsteriskFrameSerializer.InputParams(**params))
    text = PLAIN_START.format(name, size)
    if as_json:
        fields = {"event": "MEDIA_START", "format": name, "optimal_frame_size": size, "ptime": 20}
        text = json.dumps({**fields, "channel_variables": {"LANGUAGE": "en"}})
    frame = await serializer.deserialize(text)
    assert isinstance(frame, InputTransportMessageFrame)
    assert frame.message["event"] == "MEDIA_START"
    assert frame.message["channel_variables"] == ({"LANGUAGE": "en"} if as_json else {})
    return serializer


async def test_commands_in_plain_text() -> None:
    serializer = await started()
    assert await serializer.serialize(InterruptionFrame()) == "FLUSH_MEDIA"
    assert await serializer.serialize(EndFrame()) == "HANGUP"
    assert await serializer.serialize(CancelFrame()) == "HANGUP"
    mark = OutputTransportMessageFrame(message={"command": "MARK_MEDIA", "correlation_id": "m1"})
    assert await serializer.serialize(mark) == "MARK_MEDIA m1"
    assert await serializer.serialize(TextFrame("hello")) is None


async def test_commands_in_json() -> None:
    serializer = await started(as_json=True)
    flush = await serializer.serialize(InterruptionFrame())
    assert isinstance(flush, str)
    assert json.loads(flush) == {"command": "FLUSH_MEDIA"}
    message = {"command": "SET_MEDIA_DIRECTION", "direction": "in"}
    text = await serializer.serialize(OutputTransportMessageUrgentFrame(message=message))
    assert isinstance(text, str)
    assert json.loads(text) == message


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"command": "DANCE"}, "DANCE"),
        ({"command": "SET_MEDIA_DIRECTION", "direction": "up"}, "direction is 'up'"),
        ({"command": "MARK_MEDIA", "correlation_id": "x" * 200}, "128"),
    ],
)
async def test_commands_that_cannot_be_sent(message: dict[str, str], problem: str) -> None:
    serializer = await started(as_json=True)
    with pytest.raises(ValueError, match=problem):
        await serializer.serialize(OutputTransportMessageFrame(message=message))


async def test_messages_for_other_peers_are_left_out() -> None:
    serializer = await started()
    for message in ({"label": "rtvi-ai", "type": "bot-ready"}, {"hello": "world"}, "text"):
        frame = OutputTransportMessageFrame(message=message)
        if isinstance(message, dict):
            assert await serializer.serialize(frame) is None


async def test_without_auto_hang_up() -> None:
    serializer = await started(auto_hang_up=False)
    assert await serializer.serialize(EndFrame()) is None


async def test_audio_goes_out_in_whole_frames() -> None:
    serializer = await started()
    pcm = noise(16_000, 0.1)
    sent = b""
    for at in range(0, len(pcm), 500):
        frame = OutputAudioRawFrame(pcm[at : at + 500], 16_000, 1)
        data = await serializer.serialize(frame)
        assert data is None or isinstance(data, bytes)
        assert len(data or b"") % 640 == 0
        sent += data or b""
    assert sent == pcm[: len(pcm) // 640 * 640]


async def test_an_interruption_drops_the_part_of_a_frame() -> None:
    serializer = await started()
    pcm = noise(16_000, 0.02)
    assert await serializer.serialize(OutputAudioRawFrame(pcm[:300], 16_000, 1)) is None
    await serializer.serialize(InterruptionFrame())
    assert await serializer.serialize(OutputAudioRawFrame(pcm, 16_000, 1)) == pcm


async def test_audio_is_resampled_both_ways() -> None:
    serializer = await started("ulaw", 160, sample_rate=24_000)
    frame = OutputAudioRawFrame(tone(24_000, 0.5), 24_000, 1)
    wire = await serializer.serialize(frame)
    assert isinstance(wire, bytes)
    assert len(wire) == pytest.approx(4_000, abs=160)
    heard = await serializer.deserialize(wire)
    assert isinstance(heard, InputAudioRawFrame)
    assert heard.sample_rate == 24_000
    assert pitch(heard.audio, 24_000) == pytest.approx(440, abs=4)


async def test_events_become_frames() -> None:
    serializer = await started()
    key = await serializer.deserialize("DTMF_END digit:5 channel_id:17.1")
    assert isinstance(key, InputDTMFFrame)
    assert key.button.value == "5"
    for text, event in (
        ("DTMF_END digit:A channel_id:17.1", {"event": "DTMF_END", "digit": "A"}),
        ("MEDIA_MARK_PROCESSED m1", {"event": "MEDIA_MARK_PROCESSED", "correlation_id": "m1"}),
        ("MEDIA_XOFF", {"event": "MEDIA_XOFF"}),
        ("TRANSFERRED to:you", {"event": "TRANSFERRED"}),
    ):
        frame = await serializer.deserialize(text)
        assert isinstance(frame, InputTransportMessageFrame)
        assert event.items() <= frame.message.items()
    assert await serializer.deserialize("rubbish ???") is None


async def test_nothing_passes_before_media_start() -> None:
    serializer = AsteriskFrameSerializer()
    assert await serializer.deserialize(bytes(640)) is None
    assert await serializer.serialize(EndFrame()) is None
    assert await serializer.serialize(OutputAudioRawFrame(bytes(640), 16_000, 1)) is None


@pytest.mark.parametrize("control", ["json", "plain-text"])
async def test_in_pipecats_own_transport(control: str) -> None:
    app = FastAPI()
    workers: asyncio.Queue[PipelineWorker] = asyncio.Queue()
    before, after = Recorder(), Recorder()

    @app.websocket("/ws")
    async def answer(websocket: WebSocket) -> None:
        await websocket.accept("media")
        params = FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=AsteriskFrameSerializer(),
        )
        transport = FastAPIWebsocketTransport(websocket, params)
        worker = PipelineWorker(
            Pipeline([transport.input(), before, transport.output(), after]),
            params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=16_000),
        )
        workers.put_nowait(worker)
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(worker)
        await runner.run()

    async with served(app) as url:
        speak = noise(16_000, 0.3)
        async with SimulatedChannel(
            f"{url}/ws", codec="slin16", control=control, speak=speak, send_silence=False
        ) as channel:
            worker = await workers.get()
            await before.wait_for(lambda: len(before.audio) >= len(speak))
            assert bytes(before.audio) == speak
            channel.press("7")
            await before.wait_for_frame(InputDTMFFrame)
            said = np.full(16_000 // 5 * 2, 3_000, np.int16).tobytes()
            await worker.queue_frames([TTSAudioRawFrame(said, 16_000, 1), TTSStoppedFrame()])
            await channel.wait_for(lambda: len(channel.heard_bytes) >= len(said))
            await worker.queue_frame(EndFrame())
            await channel.wait_for_command("HANGUP")
            await channel.wait_closed()
