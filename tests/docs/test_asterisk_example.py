"""The example of the library page, run as it is printed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from antiphon.testing.asterisk import SimulatedChannel
from support.live_server import serving

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "src/antiphon/cli/caller/audio/what-is-in-my-cart.wav"


def _example() -> Any:
    spec = importlib.util.spec_from_file_location(
        "asterisk_library", ROOT / "examples/asterisk_library.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("codec", "control"), [("slin16", "json"), ("ulaw", "plain-text")])
async def test_the_example_answers_a_call(codec: str, control: Any) -> None:
    config = uvicorn.Config(_example().app, log_config=None, ws="websockets-sansio")
    async with serving(config) as port:
        url = f"ws://127.0.0.1:{port}/ws/asterisk"
        async with SimulatedChannel(url, codec=codec, control=control, speak=SPEECH) as channel:
            await channel.wait_until_speaking()
            await channel.wait_until_said()
            await channel.wait_until_quiet()
            channel.hang_up()
            await channel.wait_closed()
    counters = channel.model.counters
    assert counters.frames_played > 20, "the caller hears itself"
    assert (counters.messages_dropped, counters.remainder_bytes_dropped) == (0, 0)
