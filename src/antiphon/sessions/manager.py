"""All sessions of this process: admission, rooms, resume, limits, drain."""

import asyncio
import logging
import secrets
from dataclasses import dataclass, field

from antiphon.clock import Clock
from antiphon.domain.ids import new_session_id
from antiphon.domain.prompt_variables import fill
from antiphon.domain.session import EndReason, SessionState
from antiphon.errors import LimitExceeded, NotFound, Unavailable
from antiphon.event_log import EventLog
from antiphon.observability.logging import session_log_context
from antiphon.protocols.framing import epoch_ms
from antiphon.records.writer import EventWriter
from antiphon.sessions.limits import StartRate
from antiphon.sessions.request import CallRequest
from antiphon.sessions.rooms import Rooms
from antiphon.sessions.runtime import AgentRuntime
from antiphon.sessions.session import Session, SessionPlan
from antiphon.settings import Settings
from antiphon.transports.participant import CallTransport

log = logging.getLogger(__name__)

REAP_SECS = 0.25
CANCEL_SECS = 6.0
"""After last words were cut off, longest wait for pipelines to end."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a session."""

    address: str
    """IP address."""
    key_id: str = ""
    """Id of the API key used; empty for anonymous."""


@dataclass
class Totals:
    """Counters since the process began."""

    started: int = 0
    ended: int = 0
    refused: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)


class SessionManager:
    """The sessions of one process.

    Args:
        settings: Limits and defaults.
        runtimes: Agents by name.
        writer: The record store's writer.
        clock: Source of time.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        runtimes: dict[str, AgentRuntime],
        default_agent: str,
        writer: EventWriter,
        clock: Clock,
    ):
        self.settings = settings
        self.runtimes = runtimes
        self.default_agent = default_agent
        self.rooms = Rooms(settings.max_rooms, clock)
        self.totals = Totals()
        self._writer = writer
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._by_room: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._accepting = True
        self._reaper: asyncio.Task[None] | None = None
        self._by_key = StartRate(settings.session_starts_per_minute, what="key")
        self._by_address = StartRate(settings.session_starts_per_minute_per_address, what="address")

    # Finding.

    @property
    def live(self) -> list[Session]:
        """Sessions that have not ended, oldest first."""
        return list(self._sessions.values())

    @property
    def accepting(self) -> bool:
        """Whether new sessions are taken."""
        return self._accepting

    def find(self, session_id: str) -> Session | None:
        """A live session, if there is one by that id."""
        return self._sessions.get(session_id)

    def get(self, session_id: str) -> Session:
        """A live session.

        Raises:
            NotFound: there is none by that id.
        """
        session = self.find(session_id)
        if session is None:
            raise NotFound(f"no live session {session_id}", code="session_not_live")
        return session

    def find_room(self, room: str) -> Session | None:
        """The session that lives in a room."""
        return self._by_room.get(room) if room else None

    def rename(self, session: Session, room: str) -> None:
        """The peer named its room after the session had started."""
        if self._by_room.get(session.room) is session:
            del self._by_room[session.room]
        session.room = room
        self._by_room[room] = session

    def runtime(self, name: str | None, language: str | None = None) -> AgentRuntime:
        """An agent by name; else the first that speaks the language; else the default one.

        Raises:
            NotFound: there is no such agent, or none speaks the language.
        """
        if name is None and language is not None:
            return self._speaking(language)
        runtime = self.runtimes.get(name or self.default_agent)
        if runtime is None:
            known = ", ".join(sorted(self.runtimes))
            raise NotFound(f"no agent {name!r}; known: {known}", field="agent", code="no_agent")
        return runtime

    def _speaking(self, language: str) -> AgentRuntime:
        wanted = language.partition("-")[0].lower()
        for runtime in (self.runtimes[self.default_agent], *self.runtimes.values()):
            if runtime.definition.language.partition("-")[0] == wanted:
                return runtime
        spoken = ", ".join(sorted({one.definition.language for one in self.runtimes.values()}))
        raise NotFound(
            f"no agent speaks {language!r}; known: {spoken}", field="language", code="no_agent"
        )

    # Starting.

    def admit(self, caller: Caller) -> None:
        """Check the limits before a connection becomes a session.

        Raises:
            Unavailable: the server is shutting down or full.
            LimitExceeded: this caller starts too many.
        """
        try:
            self._check(caller)
        except (Unavailable, LimitExceeded):
            self.totals.refused += 1
            raise

    def _check(self, caller: Caller) -> None:
        if not self._accepting:
            raise Unavailable("the server is shutting down", code="draining", retry_after_s=30)
        if len(self._sessions) >= self.settings.max_sessions:
            raise Unavailable(
                f"all {self.settings.max_sessions} sessions are taken; try again later",
                code="sessions_full",
                retry_after_s=10,
            )
        now = self._clock.monotonic()
        if caller.key_id:
            self._by_key.admit(caller.key_id, now)
        else:
            self._by_address.admit(caller.address, now)

    def enter(
        self,
        caller: Caller,
        request: CallRequest,
        *,
        transport: str,
        own_transport: CallTransport | None = None,
    ) -> Session:
        """The session of the room, or a new one.

        Args:
            caller: Who calls.
            request: What is asked for.
            transport: Name of the transport.
            own_transport: A transport of the connection's own; None for one that can be shared.

        Raises:
            AntiphonError: a limit, or an agent that does not exist.
        """
        session = self.find_room(request.room)
        if session is not None:
            return session
        runtime = self.runtime(request.agent, request.language)
        self.admit(caller)
        plan = self.plan(runtime, request, transport=transport)
        return self.start(runtime, plan, transport=own_transport)

    def start(
        self, runtime: AgentRuntime, plan: SessionPlan, *, transport: CallTransport | None = None
    ) -> Session:
        """Start a session; the caller has been admitted.

        Args:
            runtime: The agent.
            plan: What it is to be.
            transport: A transport of the connection's own; None for one that can be shared.
        """
        now_ms = epoch_ms(self._clock.utc_now())
        session_id = new_session_id(now_ms, secrets.token_bytes(10))
        event_log = EventLog(session_id, self._clock)
        self._writer.attach(event_log)
        session = Session(
            session_id,
            runtime=runtime,
            plan=plan,
            event_log=event_log,
            clock=self._clock,
            transport=transport,
        )
        self._sessions[session_id] = session
        self._by_room[session.room] = session
        self.totals.started += 1
        task = asyncio.get_running_loop().create_task(
            self._run(session), name=f"session-{session_id}"
        )
        self._tasks[session_id] = task
        return session

    def plan(self, runtime: AgentRuntime, request: CallRequest, *, transport: str) -> SessionPlan:
        """A plan by the request, the settings, the agent's limits and the room's prompt."""
        settings, limits = self.settings, runtime.definition.limits
        made = self.rooms.find(request.room) if request.room else None
        written = (made.system_prompt if made else "") or runtime.definition.prompt
        return SessionPlan(
            transport=transport,
            room=request.room,
            prompt=request.prompt or fill(written, request.variables),
            greeting=fill(runtime.definition.greeting, request.variables),
            source_sample_rate=request.input_rate,
            output_sample_rate=request.output_rate,
            lead_ms=settings.output_lead_ms,
            max_secs=limits.max_session_secs or settings.max_session_secs,
            idle_secs=limits.idle_secs or settings.idle_timeout_secs,
            park_secs=settings.park_timeout_secs if request.resumable else 0,
        )

    async def _run(self, session: Session) -> None:
        with session_log_context(session.id):
            log.info(
                "session started: agent %s, transport %s, room %s",
                session.runtime.definition.name,
                session.plan.transport,
                session.room,
            )
            try:
                await session.run()
            finally:
                self._forget(session)

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        self._tasks.pop(session.id, None)
        if self._by_room.get(session.room) is session:
            del self._by_room[session.room]
        reason = session.end_reason
        self.totals.ended += 1
        self.totals.by_reason[reason] = self.totals.by_reason.get(reason, 0) + 1
        log.info("session ended: %s after %.1f s", reason, session.age_secs)

    # Running.

    def open(self) -> None:
        """Begin to watch over the sessions' limits."""
        self._reaper = asyncio.get_running_loop().create_task(self._reap(), name="session-reaper")

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(REAP_SECS)
            for session in self.live:
                try:
                    await session.reap()
                except Exception:
                    log.exception("session %s: the reaper failed", session.id)

    # Stopping.

    def stop_accepting(self) -> None:
        """Refuse new sessions from now on; those that live go on."""
        self._accepting = False

    async def drain(self, timeout_secs: float) -> None:
        """Let calls end by themselves up to `timeout_secs`, then say goodbye and end them."""
        self.stop_accepting()
        for session in self.live:
            if session.state is SessionState.PARKED:
                await session.end(EndReason.SHUTDOWN)
        tasks = list(self._tasks.values())
        if tasks:
            log.info("draining: %d sessions have up to %.0f s", len(tasks), timeout_secs)
            await asyncio.wait(tasks, timeout=timeout_secs)
        await self.end_all(EndReason.SHUTDOWN)

    async def end_all(self, reason: EndReason) -> None:
        """Say goodbye to every caller and end every session."""
        for session in self.live:
            await session.end(reason, last_words=session.runtime.definition.goodbye)
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=8.0 + CANCEL_SECS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close(self) -> None:
        """End what is left at once and stop the reaper."""
        self.stop_accepting()
        for session in self.live:
            await session.end(EndReason.SHUTDOWN)
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CANCEL_SECS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
