"""`antiphon export`: a session's transcript, from the data directory, with or without a server."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from antiphon.records.store import RecordStore


class ExportFormat(StrEnum):
    """Forms of a transcript."""

    TEXT = "text"
    JSON = "json"
    VTT = "vtt"


def export(
    session: Annotated[str, typer.Argument(help="The session's id.")],
    form: Annotated[
        ExportFormat, typer.Option("--format", help="text, json or vtt (subtitles).")
    ] = ExportFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="The server's data directory [default: as set].")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file.")] = None,
) -> None:
    """Print the transcript of a session."""
    from antiphon.cli.stored import with_store
    from antiphon.records.exports import transcript
    from antiphon.settings import load_settings

    settings = load_settings({"data_dir": data_dir}, config=config).settings

    async def work(store: "RecordStore") -> str:
        return await transcript(store, session, form.value)

    text = with_store(settings, work)
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        from antiphon.errors import ConfigurationError

        raise ConfigurationError(
            [f"--output {output} cannot be written: {error.strerror or error}"]
        ) from error
