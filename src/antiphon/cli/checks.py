"""The doctor's checks: each looks at one thing and returns findings with their fix."""

import asyncio
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from antiphon.agents.loader import AgentStore, LoadedAgent
from antiphon.cli.exchange_check import check_exchange
from antiphon.cli.findings import Finding, Level
from antiphon.cli.stored import count_valid_keys
from antiphon.clock import SystemClock
from antiphon.errors import AntiphonError, ConfigurationError
from antiphon.settings import Settings, exposure_problem, load_settings, provider_secrets

FEW_BYTES_FREE = 1_000_000_000
"""Below this much free disk, warn: an hour of stereo recording at 16 kHz takes 0.23 GB."""

NO_BYTES_FREE = 100_000_000
"""Below this much, the server would soon fail."""

FILES_PER_SESSION = 8
"""Descriptors that a session may hold: its socket, a recording, provider connections."""

FILES_OF_PROCESS = 200
"""Descriptors held apart from sessions."""

PROBE_TIMEOUT_S = 2.0


def run_checks(overrides: Mapping[str, Any], config: Path | None) -> list[Finding]:
    """Every check in order; without usable settings only theirs."""
    try:
        loaded = load_settings(overrides, config=config)
    except ConfigurationError as error:
        return [
            Finding("settings", "error", problem, "put it right; `antiphon config` lists settings")
            for problem in error.problems
        ]
    settings = loaded.settings
    changed = sum(origin != "default" for origin in loaded.origins.values())
    return [
        Finding("settings", "ok", f"{changed} set, the others at their defaults"),
        *check_data_dir(settings),
        *check_database(settings),
        *check_access(settings),
        *check_port(settings),
        *check_files(settings),
        *check_agent(settings),
        *check_models(),
        *check_providers(settings),
        *check_exchange(settings),
        *check_open_files(settings),
        *check_clock(SystemClock().utc_now()),
    ]


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """Whether state can be kept: writable, private, room on the disk."""
    path = settings.data_dir.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        free = shutil.disk_usage(path).free
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        yield Finding(
            "data directory",
            "error",
            f"{path} cannot be written: {error.strerror or error}",
            "give this user the directory, or choose another with --data-dir",
        )
        return
    level: Level = "ok"
    if free < FEW_BYTES_FREE:
        level = "error" if free < NO_BYTES_FREE else "warning"
    yield Finding(
        "data directory",
        level,
        f"{path} is writable, {free / 1e9:.1f} GB free",
        "" if level == "ok" else "free some space, or move the data directory",
    )
    if mode & 0o077:
        yield Finding(
            "data directory",
            "warning",
            f"{path} is open to other users (mode {mode:o}): it holds recordings and keys",
            f"chmod 700 {path}",
        )


def check_database(settings: Settings) -> Iterator[Finding]:
    """Whether the database opens and its schema can be brought up to date."""
    where = "the configured database" if settings.database_url else "antiphon.db in data_dir"
    try:
        keys = count_valid_keys(settings)
    except (AntiphonError, OSError) as error:
        yield Finding(
            "database",
            "error",
            f"{where} cannot be opened: {error}",
            "check database_url and that its server runs, or the rights of data_dir",
        )
        return
    yield Finding("database", "ok", f"{where} opens, its schema is up to date, {keys} keys")


def check_access(settings: Settings) -> Iterator[Finding]:
    """Whether the server would be open to strangers."""
    problem = exposure_problem(settings)
    if problem and not _has_keys(settings):
        yield Finding("access", "error", problem, "see the message")
    elif settings.allow_anonymous and not settings.is_loopback:
        yield Finding(
            "access",
            "warning",
            f"everybody who reaches {settings.host} may use everything",
            "unset ANTIPHON_ALLOW_ANONYMOUS and make a key with `antiphon keys create`",
        )
    else:
        keys = bool(settings.api_keys) or _has_keys(settings)
        who = "this machine" if settings.is_loopback else "everybody who reaches it"
        who += " with a key" if keys and not settings.allow_anonymous else ""
        yield Finding("access", "ok", f"open to {who}")


def _has_keys(settings: Settings) -> bool:
    try:
        return count_valid_keys(settings) > 0
    except (AntiphonError, OSError):
        return False  # check_database has said why


def check_port(settings: Settings) -> Iterator[Finding]:
    """Whether the port is free, and if not, whether it is Antiphon that has it."""
    from antiphon.cli.http_server import bind

    where = f"{settings.host} port {settings.port}"
    try:
        bind(settings.host, settings.port).close()
    except ConfigurationError as error:
        if _is_antiphon(settings):
            yield Finding("port", "ok", f"Antiphon answers on {where} already")
        else:
            yield Finding(
                "port",
                "error",
                error.message.partition(";")[0],
                "stop what listens there (`ss -ltnp`), or set ANTIPHON_PORT",
            )
        return
    yield Finding("port", "ok", f"{where} is free")


def _is_antiphon(settings: Settings) -> bool:
    import httpx

    scheme = "https" if settings.tls_cert_file else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        # The certificate is not the question here, who answers is.
        reply = httpx.get(
            f"{scheme}://{host}:{settings.port}/health",
            timeout=PROBE_TIMEOUT_S,
            verify=False,
            trust_env=False,
        )
        return reply.is_success and "active_rooms" in reply.json()
    except (httpx.HTTPError, ValueError):
        return False


def check_files(settings: Settings) -> Iterator[Finding]:
    """Whether the files that settings name can be read or written."""
    for name in ("tls_cert_file", "tls_key_file"):
        path: Path | None = getattr(settings, name)
        if path is not None and not os.access(path, os.R_OK):
            yield Finding(
                "files",
                "error",
                f"{name} {path} cannot be read",
                "check the path and that this user may read it",
            )
    log_file = settings.log_file
    if log_file is not None:
        target = log_file if log_file.exists() else log_file.absolute().parent
        if target.exists() and not os.access(target, os.W_OK):
            yield Finding(
                "files",
                "error",
                f"log_file {log_file} cannot be written",
                "give this user the directory, or choose another path",
            )
    if settings.agents_dir is not None and not settings.agents_dir.is_dir():
        yield Finding(
            "files",
            "error",
            f"agents_dir {settings.agents_dir} is not a directory",
            "make it, or correct ANTIPHON_AGENTS_DIR",
        )


def check_agent(settings: Settings) -> Iterator[Finding]:
    """Whether the agent that answers can be opened just as the server opens it."""
    try:
        agent = AgentStore(settings.agents_dir).resolve(settings.agent)
        names = asyncio.run(_open_agent(agent, settings))
    except ConfigurationError as error:
        for problem in error.problems:
            yield Finding("agent", "error", problem, f"edit the file of agent {settings.agent}")
        return
    except AntiphonError as error:
        yield Finding(
            "agent", "error", error.message, "`antiphon agents list` shows those there are"
        )
        return
    services = ", ".join(f"{kind} {name}" for kind, name in names.items())
    yield Finding("agent", "ok", f"{agent.name} opens; {services}")
    if "embedded" in names.values():
        yield Finding(
            "services",
            "ok",
            "embedded services understand the agent's own sentences only; for free speech set a "
            "provider's key and name it in the agent file (`antiphon services`)",
        )


async def _open_agent(agent: LoadedAgent, settings: Settings) -> dict[str, str]:
    from antiphon.sessions.runtime import AgentRuntime

    with tempfile.TemporaryDirectory(prefix="antiphon-doctor-") as folder:
        runtime = await AgentRuntime.open(
            agent,
            data_dir=Path(folder),  # not the real one: a server may be using it
            secrets=provider_secrets(settings),
            defaults={},
            warm_decoders=1,
            clock=SystemClock(),
        )
        try:
            return runtime.service_names
        finally:
            await runtime.close()


def check_models() -> Iterator[Finding]:
    """Whether what works without a network is there: Silero, PocketSphinx, espeak-ng."""
    from antiphon.inference.vad import shared_silero
    from antiphon.services.embedded.decoder import library_available
    from antiphon.services.embedded.espeak import espeak_engine

    reinstall = "install the package again: `make setup`"
    try:
        shared_silero()
        yield Finding("models", "ok", "Silero voice activity detection loads")
    except (OSError, RuntimeError, AntiphonError) as error:
        yield Finding("models", "error", f"Silero does not load: {error}", reinstall)
    if library_available():
        yield Finding("models", "ok", "PocketSphinx decodes outside the interpreter lock")
    else:
        yield Finding(
            "models",
            "warning",
            "PocketSphinx's C interface is not reachable: calls will hold one another up",
            "use the wheel of PyPI for Linux on x86-64 or arm64",
        )
    try:
        voices = len(espeak_engine().voices())
        yield Finding("models", "ok", f"espeak-ng speaks, {voices} voices")
    except (OSError, AntiphonError) as error:
        yield Finding("models", "error", f"espeak-ng does not load: {error}", reinstall)


def check_providers(settings: Settings) -> Iterator[Finding]:
    """Keys that are set for services whose extra is not installed."""
    from antiphon.services.catalog import CATALOG

    secrets = provider_secrets(settings)
    ready: set[str] = set()
    for spec in CATALOG:
        if not spec.needs or not all(secrets.get(name) for name in spec.needs):
            continue
        try:
            spec.load()
            ready.add(spec.name)
        except ConfigurationError:
            yield Finding(
                "providers",
                "warning",
                f"{', '.join(spec.needs)} is set, but {spec.kind} {spec.name} is not installed",
                f"pip install 'antiphon[{spec.extra}]'",
            )
    if ready:
        yield Finding("providers", "ok", f"ready: {', '.join(sorted(ready))}")


def check_open_files(settings: Settings) -> Iterator[Finding]:
    """Whether the process may hold as many descriptors as its sessions need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_OF_PROCESS + FILES_PER_SESSION * settings.max_sessions
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield Finding("open files", "ok", f"up to {soft}; {needed} are enough")
        return
    yield Finding(
        "open files",
        "warning",
        f"at most {soft}, but {settings.max_sessions} sessions may need {needed}",
        f"ulimit -n {needed}"
        + ("" if hard in (-1, soft) or hard >= needed else " (as root: the hard limit is lower)")
        + ", LimitNOFILE= in the systemd unit, or a lower max_sessions",
    )


def check_clock(now: datetime) -> Iterator[Finding]:
    """Whether the time is plausible: not before this very file was written."""
    written = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if now < written - timedelta(days=1):
        yield Finding(
            "clock",
            "error",
            f"it is said to be {now:%Y-%m-%d %H:%M} UTC, before this software was installed",
            "set the clock (timedatectl set-ntp true): records are dated and tickets expire by it",
        )
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")
