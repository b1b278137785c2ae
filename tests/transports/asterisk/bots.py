"""A pipeline on the Asterisk transport, behind a real WebSocket, and a simulated caller."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from antiphon.testing.asterisk import SimulatedAsteriskServer, SimulatedChannel
from antiphon.testing.asterisk.channel import Channel
from antiphon.transports.asterisk import (
    AsteriskWebsocketClientTransport,
    AsteriskWebsocketParams,
    AsteriskWebsocketTransport,
)
from support.live_server import serving


class Recorder(FrameProcessor):
    """Keeps what passes downstream, with the time of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[float, Frame]] = []
        self.audio = bytearray()
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.audio += frame.audio
        elif direction is FrameDirection.DOWNSTREAM:
            self.frames.append((asyncio.get_running_loop().time(), frame))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for _, frame in self.frames if isinstance(frame, kind)]

    def time_of(self, kind: type[Frame]) -> float:
        return next(at for at, frame in self.frames if isinstance(frame, kind))

    async def wait_for(self, condition: Callable[[], Any], *, within_s: float = 10) -> Any:
        async with asyncio.timeout(within_s):
            while not (result := condition()):
                await self._changed.wait()
        return result

    async def wait_for_frame(self, kind: type[Frame], *, count: int = 1) -> None:
        await self.wait_for(lambda: len(self.of(kind)) >= count)


class Bot:
    """One call's pipeline: transport in, recorder, what is tested, transport out, recorder."""

    def __init__(
        self,
        transport: AsteriskWebsocketTransport,
        *,
        rates: tuple[int, int],
        middle: Sequence[FrameProcessor] = (),
        end: Sequence[FrameProcessor] = (),
    ):
        self.transport = transport
        self.before, self.after = Recorder(), Recorder()
        self.events: list[tuple[str, Any]] = []
        self.done = asyncio.Event()
        self.worker = PipelineWorker(
            Pipeline(
                [transport.input(), self.before, *middle, transport.output(), self.after, *end]
            ),
            params=PipelineParams(audio_in_sample_rate=rates[0], audio_out_sample_rate=rates[1]),
        )
        for name in EVENTS:
            transport.add_event_handler(name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., Any]:
        async def note(_transport: object, value: Any) -> None:
            self.events.append((name, value))
            if name == "on_client_disconnected":
                await self.worker.cancel()

        return note

    async def run(self) -> None:
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(self.worker)
        try:
            await runner.run()
        finally:
            self.done.set()

    def values(self, event: str) -> list[Any]:
        return [value for name, value in self.events if name == event]

    async def say(self, pcm: bytes, rate: int, *, context: str = "one", piece: int = 4_000) -> None:
        """Speech as a service pushes it: all at once, in pieces of odd lengths."""
        await self.worker.queue_frames(
            [
                TTSStartedFrame(context_id=context),
                *(
                    TTSAudioRawFrame(pcm[at : at + piece], rate, 1, context_id=context)
                    for at in range(0, len(pcm), piece)
                ),
                TTSStoppedFrame(context_id=context),
            ]
        )

    async def interrupt(self) -> None:
        await self.worker.queue_frame(InterruptionFrame())

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self.done.wait()

    def passed_audio(self) -> bytes:
        """What the output has passed on as played."""
        return b"".join(frame.audio for frame in self.after.of(OutputAudioRawFrame))


EVENTS = (
    "on_client_connected",
    "on_client_disconnected",
    "on_media_start",
    "on_dtmf",
    "on_media_xoff",
    "on_media_xon",
    "on_mark",
    "on_queue_drained",
    "on_asterisk_error",
    "on_status",
)

MakeBot = Callable[[AsteriskWebsocketTransport], Bot]


@contextlib.asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application's address, `ws://…`."""
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
    async with serving(config) as port:
        yield f"ws://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def calling(
    *,
    params: AsteriskWebsocketParams | None = None,
    rates: tuple[int, int] = (16_000, 16_000),
    make: MakeBot | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Channel, Bot]]:
    """A call that Asterisk has brought to the bot, with its pipeline started."""
    app = FastAPI()
    bots: asyncio.Queue[Bot] = asyncio.Queue()

    @app.websocket("/ws")
    async def answer(websocket: WebSocket) -> None:
        await websocket.accept("media")
        transport = AsteriskWebsocketTransport(websocket=websocket, params=params)
        bot = make(transport) if make else Bot(transport, rates=rates)
        bots.put_nowait(bot)
        await bot.run()

    async with served(app) as url:
        async with SimulatedChannel(f"{url}/ws", **options) as channel:
            bot = await bots.get()
            await channel.wait_for_command("ANSWER")
            yield channel, bot
        await bot.ended()


@contextlib.asynccontextmanager
async def dialled(**options: Any) -> AsyncIterator[tuple[Channel, Bot]]:
    """A call that the bot has dialled into."""
    async with (
        SimulatedAsteriskServer() as asterisk,
        asterisk.channel(**options) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        bot = Bot(AsteriskWebsocketClientTransport(uri=channel.url), rates=(16_000, 16_000))
        tasks.create_task(bot.run())
        await channel.wait_connected()
        await channel.wait_for_command("ANSWER")
        yield channel, bot
        if not bot.done.is_set():
            await bot.worker.cancel()


def noise(rate: int, secs: float, *, seed: int = 1) -> bytes:
    """Loud noise, PCM16; no two pieces of it are alike, and no frame of it is silence."""
    samples = np.random.default_rng(seed).integers(-12_000, 12_000, round(rate * secs))
    return samples.astype(np.int16).tobytes()


def tone(rate: int, secs: float, *, hz: float = 440.0) -> bytes:
    at = np.arange(round(rate * secs)) / rate
    return (10_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16).tobytes()


def pitch(pcm: bytes, rate: int) -> float:
    """The strongest frequency, Hz."""
    samples = np.frombuffer(pcm, np.int16).astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def level(pcm: bytes) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(np.frombuffer(pcm, np.int16).astype(float)))))
