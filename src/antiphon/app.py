"""Composition root: from settings to the ASGI application. The one module that knows every room."""

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from antiphon import __version__
from antiphon.agents.loader import AgentStore, LoadedAgent
from antiphon.api import (
    agents,
    asterisk_media,
    auth,
    browser,
    call_control,
    calls,
    dashboard,
    errors,
    health,
    pages,
    rooms,
    services,
    sessions,
    telephony,
)
from antiphon.api.deps import Lines
from antiphon.api.telephony.options import TelephonyOptions
from antiphon.clock import Clock, SystemClock
from antiphon.domain.session import EndReason
from antiphon.errors import ConfigurationError
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
from antiphon.sessions.call_tools import Exchange
from antiphon.sessions.manager import SessionManager
from antiphon.sessions.runtime import AgentRuntime
from antiphon.sessions.session import Session
from antiphon.sessions.voice import SessionVoice
from antiphon.settings import Settings, provider_secrets
from antiphon.telephony.ari import AriCallControl, CallControlConfig, ari_client
from antiphon.telephony.ari.numbers import DialPlan
from antiphon.transports.telephony import TelephonyCredentials

log = logging.getLogger(__name__)

ROUTERS = (
    calls.router,
    telephony.router,
    call_control.router,
    asterisk_media.router,
    auth.router,
    sessions.router,
    agents.router,
    services.router,
    health.router,
    rooms.router,
    dashboard.router,
    browser.router,
    pages.router,
)


class Server:
    """The running server: its parts, opened by the application's lifespan.

    Args:
        settings: Effective settings.
        clock: Source of time.
    """

    store: RecordStore
    writer: EventWriter
    manager: SessionManager
    authenticator: auth.Authenticator

    def __init__(self, settings: Settings, clock: Clock):
        self.settings = settings
        self.clock = clock
        self.version = __version__
        self.call_control: AriCallControl | None = None
        """The telephone exchange; None when no ARI is configured."""
        self.lines = Lines()
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Open the store, load the agents, begin to watch sessions.

        Raises:
            ConfigurationError: something the settings name cannot be used.
        """
        settings = self.settings
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                [f"data_dir: cannot make {settings.data_dir}: {error}"]
            ) from error
        node = f"{socket.gethostname()}:{os.getpid()}"
        self.store = await RecordStore.open(
            settings.effective_database_url, clock=self.clock, node_id=node
        )
        self._open.push_async_callback(self.store.close)
        crashed = await self.store.close_orphans()
        if crashed:
            log.warning("closed %d sessions of a process that died: %s", len(crashed), crashed)
        self.writer = EventWriter(self.store, commit_interval_s=settings.event_commit_ms / 1000)
        await self.writer.start()
        self._open.push_async_callback(self.writer.close)
        self.authenticator = auth.Authenticator(settings, self.store, self.clock)
        if settings.ari_url:
            voice = SessionVoice(self._session)
            self.call_control = _call_control(settings, voice, self.clock)
        runtimes, default = await self._open_agents()
        self.manager = SessionManager(
            settings=settings,
            runtimes=runtimes,
            default_agent=default,
            writer=self.writer,
            clock=self.clock,
        )
        self.manager.open()
        self._open.push_async_callback(self.lines.close)
        self._open.push_async_callback(self.manager.close)
        if self.call_control is not None:
            self.call_control.open()
            self._open.push_async_callback(self.call_control.close)

    def _session(self, session_id: str) -> Session | None:
        # The manager comes after the exchange, which the agents' tools need.
        return self.manager.find(session_id)

    async def _open_agents(self) -> tuple[dict[str, AgentRuntime], str]:
        """The default agent must work; others that cannot are left out with a warning."""
        found = AgentStore(self.settings.agents_dir)
        default = found.resolve(self.settings.agent)
        runtimes = {default.name: await self._open_agent(default)}
        for agent in found.list():
            if agent.name in runtimes:
                continue
            try:
                runtimes[agent.name] = await self._open_agent(agent)
            except ConfigurationError as error:
                log.warning("agent %s is not available: %s", agent.name, error.message)
        return runtimes, default.name

    async def _open_agent(self, agent: LoadedAgent) -> AgentRuntime:
        exchange = None
        if self.call_control is not None:
            exchange = Exchange(self.call_control, self.settings.transfer_targets)
        runtime = await AgentRuntime.open(
            agent,
            data_dir=self.settings.data_dir,
            secrets=provider_secrets(self.settings),
            defaults=_defaults(self.settings),
            warm_decoders=self.settings.warm_decoders,
            clock=self.clock,
            exchange=exchange,
        )
        self._open.push_async_callback(runtime.close)
        return runtime

    async def close(self) -> None:
        """End all sessions and close everything, newest first."""
        await self._open.aclose()

    def stop_accepting(self) -> None:
        """Refuse new sessions from now on."""
        self.manager.stop_accepting()

    async def drain(self, timeout_secs: float) -> None:
        """Let calls end up to `timeout_secs`, then say goodbye and end them."""
        await self.manager.drain(timeout_secs)

    async def end_all(self, reason: str = EndReason.SHUTDOWN) -> None:
        """Say goodbye to every caller and end every session now; `reason`: an `EndReason`."""
        await self.manager.end_all(EndReason(reason))

    def describe_services(self) -> dict[str, str]:
        """Kind to name of the default agent's services."""
        return self.manager.runtime(None).service_names


def _call_control(settings: Settings, voice: SessionVoice, clock: Clock) -> AriCallControl:
    config = CallControlConfig(
        dial_plan=DialPlan(settings.ari_endpoint, settings.transfer_targets),
        websocket_connection=settings.ari_websocket_connection,
        websocket_options=settings.ari_websocket_options,
        ring_timeout_secs=settings.ring_timeout_secs,
        caller_id=settings.ari_caller_id,
        music_class=settings.ari_music_class,
        confirm_transfer=settings.transfer_confirm,
    )
    return AriCallControl(ari_client(settings, clock), config, voice=voice, clock=clock)


def _telephony(settings: Settings) -> TelephonyOptions:
    secrets = provider_secrets(settings)
    return TelephonyOptions(
        credentials=TelephonyCredentials(
            twilio_account_sid=settings.twilio_account_sid,
            twilio_auth_token=secrets.get("twilio_auth_token", ""),
            telnyx_api_key=secrets.get("telnyx_api_key", ""),
            plivo_auth_id=settings.plivo_auth_id,
            plivo_auth_token=secrets.get("plivo_auth_token", ""),
        ),
        telnyx_public_key=settings.telnyx_public_key,
        public_url=settings.public_url,
    )


def _defaults(settings: Settings) -> dict[str, Any]:
    names = (
        "llm_model",
        "llm_max_tokens",
        "llm_temperature",
        "tts_model",
        "stt_model",
        "stt_language",
    )
    return {name: getattr(settings, name) for name in names}


def create_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """The ASGI application of a server with these settings; `app.state.antiphon` is the server."""
    running = Server(settings, clock or SystemClock())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await running.open()
            yield
        finally:
            await running.close()

    app = FastAPI(
        title="Antiphon",
        version=__version__,
        summary="Self-hosted voice-agent media server",
        lifespan=lifespan,
    )
    app.state.antiphon = running
    app.state.telephony = _telephony(settings)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app
