"""Your own Pipecat pipeline on Asterisk's WebSocket channel: it repeats what the caller says.

Run it in place of the server, with the files of deploy/asterisk:

    .venv/bin/python examples/asterisk_library.py
"""

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from antiphon.transports.asterisk import AsteriskWebsocketTransport

app = FastAPI()


class Echo(FrameProcessor):
    """Stands for your speech recognition, language model and speech synthesis."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Send the caller's audio back, pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


@app.websocket("/ws/asterisk")
async def websocket_endpoint(websocket: WebSocket) -> None:
    """One call."""
    await websocket.accept(subprotocol="media")

    transport = AsteriskWebsocketTransport(websocket=websocket)
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    worker = PipelineWorker(pipeline, idle_timeout_secs=None)

    @transport.event_handler("on_media_start")
    async def on_media_start(_transport, media):
        logger.info(f"call on {media.channel}: {media.format}, {dict(media.channel_variables)}")

    @transport.event_handler("on_dtmf")
    async def on_dtmf(_transport, digit):
        logger.info(f"key {digit}")

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport, *_):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8765)
