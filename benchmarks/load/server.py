"""One server to measure: `python -m benchmarks.load.server antiphon PORT` (or stock, …)."""

import logging
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from antiphon.app import create_app
from antiphon.cli.http_server import freeze_what_stays, uvicorn_config
from antiphon.services import catalog
from antiphon.settings import Settings
from antiphon.transports.asterisk import AsteriskWebsocketTransport
from benchmarks.load.asterisk_caller import POSITIONS_PATH
from benchmarks.load.services import RATE, BenchLLM, BenchSTT, BenchTTS, StockSTT

AGENT = """
name: bench
greeting: ""
services: {stt: bench, llm: bench, tts: bench}
turns: {end_of_turn: speech_timeout, speech_timeout_secs: 0.2}
"""


class RawSerializer(FrameSerializer):
    """Headerless PCM16 both ways."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        return frame.audio if isinstance(frame, OutputAudioRawFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        return InputAudioRawFrame(data, RATE, 1) if isinstance(data, bytes) else None


def stock(*, smart_turn: bool) -> FastAPI:
    """The pipeline as Pipecat's documentation builds it, a call at a time."""
    app = FastAPI()

    @app.websocket("/ws")
    async def call(websocket: WebSocket) -> None:
        await websocket.accept()
        transport = FastAPIWebsocketTransport(
            websocket,
            FastAPIWebsocketParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                audio_out_10ms_chunks=2,
                serializer=RawSerializer(),
            ),
        )
        strategies = (
            None
            if smart_turn
            else UserTurnStrategies(
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.2)]
            )
        )
        user, assistant = LLMContextAggregatorPair(
            LLMContext(),
            user_params=LLMUserAggregatorParams(
                vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=strategies
            ),
        )
        worker = PipelineWorker(
            Pipeline(
                [
                    transport.input(),
                    StockSTT(),
                    user,
                    BenchLLM(),
                    BenchTTS(),
                    transport.output(),
                    assistant,
                ]
            ),
            params=PipelineParams(
                audio_in_sample_rate=RATE,
                audio_out_sample_rate=RATE,
                enable_metrics=True,
                enable_usage_metrics=True,
            ),
        )

        async def left(_transport: object, _websocket: object) -> None:
            await worker.cancel()

        transport.add_event_handler("on_client_disconnected", left)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()

    return app


def antiphon() -> tuple[FastAPI, Settings]:
    """Antiphon as it is, with the services of the benchmark in its catalogue."""
    for kind, service in (("stt", BenchSTT), ("llm", BenchLLM), ("tts", BenchTTS)):
        catalog.register(
            catalog.ServiceSpec(kind, "bench", "benchmark", f"{__name__}:make_{kind}"),
            lambda _context, made=service: made(),
        )
    home = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    (home / "bench.yaml").write_text(AGENT)
    settings = Settings(
        data_dir=home,
        agent=str(home / "bench.yaml"),
        session_starts_per_minute_per_address=10_000,
        max_sessions=1000,
        idle_timeout_secs=600,
    )
    app = create_app(settings)
    app.add_api_route(POSITIONS_PATH, positions)
    return app, settings


async def positions(request: Request) -> list[tuple[str, float, float]]:
    """Of each Asterisk channel: its id, the monotonic clock in seconds, and what was heard, ms."""
    return [
        (session.room, time.monotonic(), session.transport.played_ms())
        for session in request.app.state.antiphon.manager.live
        if isinstance(session.transport, AsteriskWebsocketTransport)
    ]


class Server(uvicorn.Server):
    """As `antiphon serve` runs it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        freeze_what_stays()


def main() -> None:
    """Serve until killed."""
    kind, port = sys.argv[1], int(sys.argv[2])
    os.sched_setaffinity(0, {0})
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    logging.basicConfig(level=logging.ERROR)
    if kind == "antiphon":
        app, settings = antiphon()
    else:
        app, settings = stock(smart_turn=kind == "stock-smart-turn"), Settings()
    config = uvicorn_config(app, settings)
    config.host, config.port = "127.0.0.1", port
    (Server if kind == "antiphon" else uvicorn.Server)(config).run()


if __name__ == "__main__":
    main()
