"""`antiphon call`: call a server and talk to its agent with sound files."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from antiphon.errors import AntiphonError

DEFAULT_URL = "ws://127.0.0.1:8765/ws/rustpbx"


def call(
    audio: Annotated[
        list[str],
        typer.Argument(
            help="Sound files to say in turn (any rate and format), or names of shipped ones: "
            "what-is-in-my-cart, add-two-blue-mugs, place-the-order, yes, goodbye."
        ),
    ],
    url: Annotated[
        str, typer.Option(help="WebSocket URL; its path tells the transport.")
    ] = DEFAULT_URL,
    transport: Annotated[str, typer.Option(help="auto, rustpbx, browser or pcm.")] = "auto",
    generation: Annotated[str, typer.Option(help="RustPBX client to be: A, B or C.")] = "C",
    room: Annotated[str | None, typer.Option(help="Room name of a RustPBX call.")] = None,
    rate: Annotated[
        int | None,
        typer.Option(help="Hz of the agent's audio, if the URL does not say (`sample_rate=`)."),
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="Sent as `Authorization: Bearer`.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write what the agent said to this WAV file.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write both sides to this stereo WAV file.")
    ] = None,
    barge_in: Annotated[
        bool, typer.Option(help="Speak over each answer instead of waiting for its end.")
    ] = False,
    greeting: Annotated[bool, typer.Option(help="Let the agent greet first.")] = True,
    timeout_secs: Annotated[
        float, typer.Option(help="Longest wait for an answer to begin, s.")
    ] = 15.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")
    ] = False,
) -> None:
    """Call a server over a chosen transport, say each AUDIO in turn and wait for the answers.

    Exits with 1 when the call failed or no answer came, with 2 when it could not be tried.
    """
    # Imported here so that other commands start without sound libraries.
    from antiphon.cli.caller.codecs import codec_for
    from antiphon.cli.caller.rustpbx import generation_named
    from antiphon.cli.caller.script import Script, run_script, utterance_path
    from antiphon.cli.caller.view import CallView

    errors = Console(stderr=True)
    try:
        codec = codec_for(
            url, transport, room=room, generation=generation_named(generation), sample_rate=rate
        )
        script = Script(
            utterances=tuple(utterance_path(name) for name in audio),
            barge_in=barge_in,
            greeting=greeting,
            save=save,
            record=record,
        )
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else None
        view = CallView(None if as_json else Console())
        outcome = asyncio.run(
            run_script(script, url, codec, view, headers=headers, answer_timeout_s=timeout_secs)
        )
    except AntiphonError as exc:
        errors.print(Text(exc.message, style="red"))
        raise typer.Exit(2) from exc
    if as_json:
        data = outcome.report.as_dict()
        data["ok"] = outcome.ok
        data["error"] = outcome.error.as_dict() if outcome.error else None
        typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
    elif outcome.error is not None:
        errors.print(Text(outcome.error.message, style="red"))
    if not outcome.ok:
        raise typer.Exit(1)
