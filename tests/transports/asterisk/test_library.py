"""The transport as a library: the usage example, rates known beforehand, and what goes wrong."""

import asyncio
import contextlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from antiphon.errors import InvalidMessage, Unavailable
from antiphon.testing.asterisk import MediaCodec, SimulatedChannel
from antiphon.testing.asterisk.audio import media_codec
from antiphon.transports.asterisk import (
    AsteriskWebsocketClientTransport,
    AsteriskWebsocketParams,
    AsteriskWebsocketTransport,
    ConnectionEnded,
    StartedChannel,
    read_media_start,
)
from antiphon.transports.participant import Departure
from transports.asterisk.bots import Bot, Recorder, calling, noise, pitch, served, tone

MEDIA = [Subprotocol("media")]
SHIM = Path(__file__).parents[3] / "packages/pipecat-asterisk/src"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["antiphon.transports.asterisk", "pipecat_asterisk"])
async def test_the_example_of_pipecat_asterisk_with_another_import(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its README's usage example: nothing but `websocket`, and `PipelineTask`."""
    monkeypatch.syspath_prepend(str(SHIM))
    library = importlib.import_module(name)
    from pipecat.pipeline.task import PipelineTask

    app = FastAPI()
    tasks: asyncio.Queue[PipelineTask] = asyncio.Queue()
    recorder = Recorder()

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

        # Initialize the Asterisk Transport
        ws_transport = library.AsteriskWebsocketTransport(websocket=websocket)

        # Build your Pipecat pipeline
        pipeline = Pipeline(
            [
                ws_transport.input(),
                recorder,
                ws_transport.output(),
            ]
        )

        task = PipelineTask(pipeline)
        tasks.put_nowait(task)

        @ws_transport.event_handler("on_client_disconnected")
        async def on_client_disconnected(transport: object, client: object) -> None:
            await task.cancel()

        # Run the pipeline
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(task)
        await runner.run()

    async with served(app) as url:
        speak = tone(8_000, 0.5, hz=300)
        async with SimulatedChannel(f"{url}/ws", codec="slin", speak=speak) as channel:
            task = await tasks.get()
            await recorder.wait_for(lambda: len(recorder.audio) >= 15_000)
            assert pitch(bytes(recorder.audio[:15_000]), 16_000) == pytest.approx(300, abs=3)
            frame = TTSAudioRawFrame(tone(24_000, 0.5, hz=500), 24_000, 1)
            await task.queue_frames([frame, TTSStoppedFrame()])
            await channel.wait_for(lambda: len(channel.heard) >= 25)
            assert pitch(channel.heard_samples.tobytes(), 8_000) == pytest.approx(500, abs=3)


def test_the_shim_has_the_constants_of_the_flow_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SHIM))
    shim = importlib.import_module("pipecat_asterisk")
    params = AsteriskWebsocketParams()
    assert (shim.REMOTE_BUFFER_SIZE, shim.LOW_WATER, shim.HIGH_WATER) == (1000, 0.1, 0.8)
    assert (shim.MIN_BATCH, shim.MAX_WS_SEND) == (50, 65_500)
    assert params.queue_frames == shim.REMOTE_BUFFER_SIZE
    assert params.high_water == shim.HIGH_WATER


def test_the_library_needs_nothing_of_the_server() -> None:
    code = (
        "import sys, antiphon.transports.asterisk; "
        "names = ('sessions', 'api', 'settings', 'pipeline', 'records', 'agents', 'services'); "
        "print([m for m in sys.modules if m.startswith(tuple('antiphon.' + n for n in names))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Serving:
    """An application that reads MEDIA_START first and runs the socket apart from the pipeline."""

    def __init__(self, params: AsteriskWebsocketParams | None = None, *, accept: bool = True):
        self.started: asyncio.Queue[StartedChannel | Exception] = asyncio.Queue()
        self.departure: asyncio.Queue[Departure] = asyncio.Queue()
        self.bot: Bot | None = None
        self.app = FastAPI()
        self._params = params
        self._accept = accept
        self.app.add_api_websocket_route("/ws", self._answer)

    async def _answer(self, websocket: WebSocket) -> None:
        if self._accept:
            await websocket.accept("media")
        try:
            started = await read_media_start(websocket, timeout_secs=0.5)
        except (ValueError, TimeoutError, ConnectionEnded, InvalidMessage, Unavailable) as error:
            self.started.put_nowait(error)
            with contextlib.suppress(RuntimeError):
                await websocket.close(1003)
            return
        transport = AsteriskWebsocketTransport(
            websocket, self._params, media_start=started, reads_by_itself=False
        )
        rates = (transport.input_sample_rate, transport.output_sample_rate)
        self.bot = Bot(transport, rates=rates)
        self.started.put_nowait(started)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bot.run())
            self.departure.put_nowait(await transport.run())


@pytest.mark.parametrize(
    ("codec", "rates"),
    [("slin", (8_000, 8_000)), ("slin24", (16_000, 24_000)), ("slin16", (16_000, 16_000))],
)
async def test_the_pipelines_rates_follow_the_channel(codec: str, rates: tuple[int, int]) -> None:
    app = Serving(accept=False)  # read_media_start accepts by itself
    async with (
        served(app.app) as url,
        SimulatedChannel(f"{url}/ws", codec=codec, variables={"ORDER": "17"}) as channel,
    ):
        started = await app.started.get()
        assert isinstance(started, StartedChannel)
        assert started.start.channel_variables["ORDER"] == "17"
        assert started.sample_rate == rates[1]
        bot = app.bot
        assert bot is not None
        await channel.wait_for_command("ANSWER")
        assert bot.transport.output().sample_rate == rates[1]
        assert bot.transport.input().sample_rate == rates[0]
        said = noise(rates[1], 0.3)
        await bot.say(said, rates[1])
        await bot.after.wait_for_frame(TTSStoppedFrame)
        assert channel.heard_bytes == said
        assert [start.format for start in bot.values("on_media_start")] == [codec]
        channel.hang_up()
        assert await app.departure.get() == Departure("disconnect", 1000)
        await bot.ended()


async def test_rates_can_be_set() -> None:
    params = AsteriskWebsocketParams(
        audio_in_sample_rate=16_000, audio_out_sample_rate=24_000, audio_in_frame_ms=32
    )
    async with calling(params=params, rates=(8_000, 8_000), codec="slin48") as (channel, bot):
        assert (bot.transport.input_sample_rate, bot.transport.output_sample_rate) == (
            16_000,
            24_000,
        )
        channel.say(tone(48_000, 0.6))
        await bot.before.wait_for(lambda: len(bot.before.audio) >= 16_000)
        assert len(bot.before.audio) % 1_024 == 0
        assert pitch(bytes(bot.before.audio[2_048:16_000]), 16_000) == pytest.approx(440, abs=4)


async def test_a_run_cannot_be_repeated() -> None:
    async with calling(codec="slin16") as (_, bot):
        with pytest.raises(RuntimeError, match="run already"):
            await bot.transport.run()


@pytest.mark.parametrize("name", ["opus", "siren7"])
async def test_a_format_that_cannot_be_served_is_refused(name: str) -> None:
    other = media_codec("slin16")
    codec = MediaCodec(name, 16_000, 32_000, other.encode, other.decode, 0)
    app = Serving()
    async with (
        served(app.app) as url,
        SimulatedChannel(f"{url}/ws", codec=codec) as channel,
    ):
        error = await app.started.get()
        assert isinstance(error, Unavailable if name == "opus" else ValueError)
        assert name in str(error)
        await channel.wait_closed()


async def test_a_format_that_cannot_be_served_ends_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = media_codec("slin16")
    codec = MediaCodec("siren7", 16_000, 32_000, other.encode, other.decode, 0)
    app = FastAPI()
    bots: asyncio.Queue[Bot] = asyncio.Queue()

    @app.websocket("/ws")
    async def answer(websocket: WebSocket) -> None:
        await websocket.accept("media")
        bot = Bot(AsteriskWebsocketTransport(websocket=websocket), rates=(16_000, 16_000))
        bots.put_nowait(bot)
        await bot.say(noise(16_000, 0.1), 16_000)  # waits for MEDIA_START, then for nothing
        await bot.run()

    async with served(app) as url, SimulatedChannel(f"{url}/ws", codec=codec) as channel:
        bot = await bots.get()
        closed = await channel.wait_closed()
        assert closed.code == 1003
        await bot.ended()
        assert bot.transport.departure is not None
        assert bot.transport.departure.reason == "unsupported_media"
        assert "siren7" in caplog.text


async def test_who_is_no_asterisk_is_left() -> None:
    app = Serving()
    async with (
        served(app.app) as url,
        connect(f"{url}/ws", proxy=None, subprotocols=MEDIA) as socket,
    ):
        await socket.send("hello")
        error = await app.started.get()
        assert isinstance(error, TimeoutError)
        await socket.wait_closed()


async def test_who_talks_nonsense_is_left() -> None:
    app = Serving()
    async with (
        served(app.app) as url,
        connect(f"{url}/ws", proxy=None, subprotocols=MEDIA) as socket,
    ):
        for _ in range(10):
            await socket.send('{"type": "hello"}')
        assert isinstance(await app.started.get(), InvalidMessage)


async def test_without_media_start_the_call_ends() -> None:
    params = AsteriskWebsocketParams(media_start_timeout_secs=0.3)
    app = FastAPI()
    departures: asyncio.Queue[Departure | None] = asyncio.Queue()

    @app.websocket("/ws")
    async def answer(websocket: WebSocket) -> None:
        await websocket.accept("media")
        bot = Bot(AsteriskWebsocketTransport(websocket, params), rates=(16_000, 16_000))
        await bot.run()
        departures.put_nowait(bot.transport.departure)

    async with served(app) as url, connect(f"{url}/ws", proxy=None, subprotocols=MEDIA) as socket:
        await socket.wait_closed()
        assert socket.close_code == 1003
        departure = await departures.get()
        assert departure is not None
        assert departure.reason == "no_media_start"


async def test_asterisk_that_cannot_be_reached() -> None:
    transport = AsteriskWebsocketClientTransport(uri="ws://127.0.0.1:9/media/none")
    bot = Bot(transport, rates=(16_000, 16_000))
    await bot.run()
    assert transport.departure == Departure("unreachable")
    assert len(bot.values("on_client_disconnected")) == 1


async def test_a_pipeline_that_ends_before_it_reads_closes_the_socket() -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def answer(websocket: WebSocket) -> None:
        await websocket.accept("media")
        transport = AsteriskWebsocketTransport(websocket, reads_by_itself=False)
        middle: FrameProcessor = Recorder()
        worker = PipelineWorker(
            Pipeline([transport.input(), middle, transport.output()]), params=PipelineParams()
        )
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(worker)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(runner.run())
            await asyncio.sleep(0.1)
            await worker.cancel()
        await asyncio.sleep(0.2)

    async with served(app) as url, SimulatedChannel(f"{url}/ws", codec="slin16") as channel:
        closed = await channel.wait_closed()
        assert (closed.by, closed.code) == ("application", 1000)
