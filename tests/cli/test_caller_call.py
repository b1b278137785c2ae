"""Whole calls against a small WebSocket server."""

import asyncio
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection

from antiphon.cli.call import call as call_command
from antiphon.cli.caller.call import Call, CallFailed, NoAnswer
from antiphon.cli.caller.codecs import codec_for
from antiphon.cli.caller.messages import Heard, Transcript
from antiphon.cli.caller.rustpbx import Generation, RustpbxCaller
from antiphon.cli.caller.script import Script, run_script
from antiphon.cli.caller.sound import write_wav
from antiphon.cli.caller.view import CallView
from antiphon.errors import NotFound
from cli.caller_peer import TONE, Peer, running

QUIET_MS = 150
SPEECH = TONE * 8


def placed(peer: Peer, **kwargs: object) -> Call:
    return Call(peer.url, codec_for(peer.url), **kwargs)  # type: ignore[arg-type]


async def tell(peer: Peer, socket: ServerConnection) -> None:
    for message in (
        {"type": "transcription", "text": "hi", "is_final": False, "timestamp": 1},
        {"type": "transcription", "text": "hi there", "is_final": True, "timestamp": 1.0},
        {"type": "transcription", "text": "hi there", "is_final": True, "timestamp": 1},
        {"type": "llm_response", "text": "Hello ", "is_complete": False, "timestamp": 1},
        {"type": "llm_response", "text": "Hello you.", "is_complete": True, "timestamp": 1},
        {"type": "error", "message": "a small one", "timestamp": 1},
        {"type": "novelty"},
    ):
        await socket.send(json.dumps(message))


async def test_a_call_greets_listens_and_answers() -> None:
    heard: list[Heard] = []
    async with running(Peer(on_end_of_speech=tell)) as peer:
        call = placed(peer, listener=lambda at_s, what: heard.append(what))
        async with call:
            greeting = await call.answer(silence_ms=QUIET_MS)
            turn = await call.say(SPEECH, "hello")
            assert await call.answer(silence_ms=QUIET_MS) is turn
        report = call.report()
    assert greeting.number == 0
    assert greeting.latency_ms is None
    assert (turn.said, turn.transcript, turn.agent_text) == ("hello", "hi there", "Hello you.")
    # The peer answers after three silent frames.
    assert turn.latency_ms is not None
    assert turn.latency_ms > 30
    assert turn.answer_end_s is not None
    assert turn.answer_start_s is not None
    assert turn.answer_end_s - turn.answer_start_s == pytest.approx(0.1, abs=0.05)
    assert len(report.dropped) == 2
    assert "timestamp" in report.dropped[0]
    assert "novelty" in report.dropped[1]
    assert report.errors == ["a small one"]
    assert report.notices == {"connected": 1}
    assert Transcript("hi", final=False) in heard
    assert report.playout is not None
    assert report.playout.messages == 10
    assert json.loads(json.dumps(report.as_dict()))["turns"][1]["transcript"] == "hi there"


async def test_the_caller_sends_20_ms_frames_all_the_time_after_configure_and_ping() -> None:
    async with running(Peer(greeting_frames=15)) as peer, placed(peer) as call:
        await call.answer(silence_ms=QUIET_MS)
        seconds = call.now
    assert [text["command"] for text in peer.texts] == ["configure", "ping"]
    assert peer.frame_sizes == {640}
    assert peer.audio_frames <= seconds / 0.02 + 1


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_each_generation_of_rustpbx_can_call(generation: Generation) -> None:
    def to_json(pcm: bytes) -> str:
        return json.dumps(
            {
                "type": "audio",
                "audio_data": list(pcm),
                "sample_rate": 16000,
                "channels": 1,
                "frame_id": "1",
            }
        )

    def from_either(message: str | bytes) -> bytes | None:
        if isinstance(message, bytes):
            return message
        data = json.loads(message)
        return bytes(data["audio_data"]) if data["command"] == "audio" else None

    peer = Peer(encode=to_json, decode=from_either)
    async with running(peer):
        codec = RustpbxCaller(generation=generation, room="r1")
        async with Call(peer.url, codec) as call:
            await call.answer(silence_ms=QUIET_MS)
            await call.say(SPEECH)
            await call.answer(silence_ms=QUIET_MS)
    assert peer.texts[0]["room_id"] == "r1"
    assert call.report().dropped == []


async def test_a_barge_in_measures_when_the_agent_stopped() -> None:
    async with running(Peer(greeting_frames=200)) as peer, placed(peer) as call:
        turn = await call.barge_in(SPEECH, "stop", after_s=0.1)
        await call.answer(silence_ms=QUIET_MS)
    assert turn.stop_sent_ms is not None
    assert -1 <= turn.stop_sent_ms < 1_000
    assert turn.stop_heard_ms is not None
    assert turn.stop_heard_ms >= turn.stop_sent_ms
    assert turn.latency_ms is not None


async def test_no_answer_is_told_from_a_lost_call() -> None:
    async with running(Peer(greeting_frames=0)) as peer, placed(peer) as call:
        with pytest.raises(NoAnswer, match=r"within 0\.1 s"):
            await call.answer(timeout_s=0.1)
    async with running(Peer(close_after_greeting=True)) as peer, placed(peer) as call:
        await call.answer(silence_ms=QUIET_MS)
        with pytest.raises(CallFailed, match="1000: that was all"):
            await call.say(SPEECH)
    assert call.report().close_code == 1000


async def test_a_call_to_nobody_fails_with_the_url() -> None:
    async with running(Peer()) as peer:
        url = peer.url
    with pytest.raises(CallFailed, match=url):
        async with Call(url, codec_for(url)):
            pass


async def test_a_refused_call_says_the_status() -> None:
    async def refuse(socket: ServerConnection) -> None:
        raise AssertionError("never opened")

    from websockets.asyncio.server import serve

    async with serve(
        refuse, "127.0.0.1", 0, process_request=lambda c, r: c.respond(503, "full house")
    ) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/rustpbx"
        with pytest.raises(CallFailed, match=r"503.*full house"):
            async with Call(url, codec_for(url)):
                pass


async def test_a_peer_that_waits_for_the_server_gives_up_on_a_silent_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from websockets.asyncio.server import serve

    monkeypatch.setattr("antiphon.cli.caller.call.CONNECT_TIMEOUT_S", 0.2)
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/rustpbx"
        with pytest.raises(CallFailed, match="waits for it to begin"):
            async with Call(url, RustpbxCaller(generation="A")):
                pass


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    write_wav(tmp_path / "hello.wav", SPEECH, 16_000)
    return tmp_path / "hello.wav"


async def test_a_script_saves_what_came_back_and_both_sides(tmp_path: Path, hello: Path) -> None:
    script = Script((hello,), save=tmp_path / "agent.wav", record=tmp_path / "both.wav")
    async with running(Peer(on_end_of_speech=tell)) as peer:
        outcome = await run_script(script, peer.url, codec_for(peer.url), CallView(None))
    assert outcome.ok
    assert [turn.said for turn in outcome.report.turns] == ["", "hello"]
    agent, rate = soundfile.read(tmp_path / "agent.wav", dtype="int16")
    assert rate == 16_000
    assert np.count_nonzero(np.abs(agent) > 1_000) == pytest.approx(3_200, abs=40)
    both, _ = soundfile.read(tmp_path / "both.wav", dtype="int16")
    assert np.count_nonzero(np.abs(both[:, 0]) > 1_000) == pytest.approx(2_560, abs=40)


async def test_a_script_without_an_answer_fails_and_keeps_its_report(hello: Path) -> None:
    async with running(Peer(answer_frames=0)) as peer:
        outcome = await run_script(
            Script((hello,)), peer.url, codec_for(peer.url), CallView(None), answer_timeout_s=0.3
        )
    assert isinstance(outcome.error, NoAnswer)
    assert len(outcome.report.turns) == 2


async def test_a_missing_file_is_found_before_dialling() -> None:
    with pytest.raises(NotFound):
        await run_script(
            Script((Path("nope.wav"),)), "ws://127.0.0.1:9", RustpbxCaller(), CallView(None)
        )


def command_line(*arguments: str) -> tuple[int, str, str]:
    app = Typer()
    app.command()(call_command)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


async def test_the_command_prints_json_and_exits_with_0(hello: Path) -> None:
    async with running(Peer(on_end_of_speech=tell)) as peer:
        code, out, _ = await asyncio.to_thread(
            command_line, str(hello), "--url", peer.url, "--json", "--api-key", "k1"
        )
    assert code == 0
    report = json.loads(out)
    assert report["ok"] is True
    assert report["turns"][1]["transcript"] == "hi there"
    assert peer.headers["authorization"] == "Bearer k1"


async def test_the_command_shows_the_call_and_fails_with_1_when_no_answer_comes(
    hello: Path,
) -> None:
    async with running(Peer(on_end_of_speech=tell, answer_frames=0)) as peer:
        code, out, err = await asyncio.to_thread(
            command_line, str(hello), "--url", peer.url, "--timeout-secs", "0.3"
        )
    assert code == 1
    assert "hi there" in out
    assert "no answer within 0.3 s" in err


def test_the_command_fails_with_2_on_what_it_can_not_try(hello: Path) -> None:
    for arguments, message in (
        (("nothing-like-it",), "place-the-order"),
        ((str(hello), "--url", "ws://h/elsewhere"), "--transport"),
        ((str(hello), "--generation", "D"), "use A, B or C"),
    ):
        code, _, err = command_line(*arguments)
        assert code == 2
        assert message in " ".join(err.split())


async def test_a_terminal_shows_the_turns_their_latency_and_what_was_dropped(hello: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    async with running(Peer(on_end_of_speech=tell)) as peer:
        await run_script(Script((hello,)), peer.url, codec_for(peer.url), CallView(console))
    last_picture = screen.getvalue()[-4_000:]
    for shown in (
        "hello",
        "hi there",
        "Hello you.",
        " ms",
        "unknown type 'novelty'",
        "a small one",
    ):
        assert shown in last_picture
