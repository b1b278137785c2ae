"""`antiphon serve`: the server in the foreground."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon.errors import AntiphonError, ConfigurationError

if TYPE_CHECKING:
    from antiphon.observability.logging import LogWriter
    from antiphon.settings import Settings

log = logging.getLogger(__name__)

LEFT_AT_ONCE = 1
"""Exit status after the signal that waits for nothing."""

STARTUP_FAILED = 3
"""Exit status when the application could not start; the log says why."""


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one [default: 8765].")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Database, recordings, keys: all state [default: antiphon-data, here]."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Agent that answers: name or file [default: shop].")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file [default: antiphon.toml, here].")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error [default: info].")
    ] = None,
) -> None:
    """Answer calls until SIGTERM or Ctrl-C; live calls then have time to end.

    Every other setting comes from the environment, `.env` or the configuration file:
    `antiphon config` lists them.
    """
    from antiphon.settings import exposure_problem, load_settings

    loaded = load_settings(
        {"host": host, "port": port, "data_dir": data_dir, "agent": agent, "log_level": log_level},
        config=config,
    )
    settings = loaded.settings
    _make_data_dir(settings.data_dir)
    if problem := exposure_problem(settings, origins=loaded.origins):
        from antiphon.cli.stored import count_valid_keys

        if not count_valid_keys(settings):
            raise ConfigurationError([problem])
    raise typer.Exit(run(settings))


def run(settings: "Settings") -> int:
    """Run the server until it is told to end; returns the exit status.

    Raises:
        ConfigurationError: the address, the log file or an agent cannot be used.
    """
    from antiphon.cli.http_server import HttpServer, StartupGuard, bind, uvicorn_config

    # Bound first: a taken port must not cost the seconds that models take to load.
    sock = bind(settings.host, settings.port)
    writer = start_logging(settings)
    try:
        from antiphon.app import create_app
        from antiphon.cli.banner import announce

        application = create_app(settings)
        guard = StartupGuard(application)
        server = HttpServer(
            uvicorn_config(guard, settings),
            application.state.antiphon,
            drain_timeout_s=settings.drain_timeout_secs,
            on_started=lambda port: announce(application, settings, port),
        )
        try:
            server.run(sockets=[sock])
        except SystemExit:
            return _why_not_started(guard.failure)
        if server.force_exit:
            # Nothing was closed, so threads of the database still run and would be waited for.
            writer.close()
            os._exit(LEFT_AT_ONCE)
        return 0
    finally:
        sock.close()
        writer.close()


def _why_not_started(failure: BaseException | None) -> int:
    """Raise what the operator can put right; log anything else with its traceback."""
    if isinstance(failure, AntiphonError):
        raise failure
    log.critical("the server could not start", exc_info=failure)
    return STARTUP_FAILED


def start_logging(settings: "Settings") -> "LogWriter":
    """The process's logs as the settings want them.

    Raises:
        ConfigurationError: the log file cannot be written.
    """
    from antiphon.observability.logging import configure_logging
    from antiphon.settings import secret_values

    try:
        return configure_logging(
            level=settings.effective_log_level,
            form=settings.log_format,
            file=settings.log_file,
            file_max_bytes=settings.log_file_max_mb * 1_000_000,
            file_keep=settings.log_file_keep,
            secrets=secret_values(settings),
        )
    except OSError as error:
        raise ConfigurationError(
            [f"log_file {settings.log_file} cannot be written: {error.strerror or error}"]
        ) from error


def _make_data_dir(path: Path) -> None:
    try:
        # Only this user: recordings and keys are private.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            [f"data_dir {path} cannot be created: {error.strerror or error}"]
        ) from error
