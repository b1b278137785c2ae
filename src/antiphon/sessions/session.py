"""One session: its pipeline, its participants, its end."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from antiphon import __version__
from antiphon.clock import Clock
from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventType
from antiphon.domain.session import EndReason, SessionState, Signal, transition
from antiphon.errors import Conflict
from antiphon.event_log import EventLog
from antiphon.pipeline.build import CallPipeline
from antiphon.sessions.hints import apply_hints
from antiphon.sessions.runtime import AgentRuntime
from antiphon.tools.base import ToolContext
from antiphon.transports.participant import CallTransport, Departure, Participant
from antiphon.transports.session_transport import SessionTransport

log = logging.getLogger(__name__)

INPUT_SAMPLE_RATE = 16_000
"""Hz inside the pipeline: what the shared VAD and most recognizers take."""

GOODBYE_SECS = 8.0
"""Longest wait for last words to be heard before the session is cut off."""

END_CALL_GRACE_SECS = 10.0
"""After `end_call`, longest wait for the agent's goodbye to begin."""

_SIGNS_OF_LIFE = frozenset(
    {
        EventType.SPEECH_STARTED,
        EventType.SPEECH_STOPPED,
        EventType.TRANSCRIPT_FINAL,
        EventType.AGENT_SPEECH_STARTED,
        EventType.AGENT_SPEECH_STOPPED,
        EventType.DTMF,
        EventType.OPERATOR_ACTION,
        EventType.SESSION_RESUMED,
    }
)


_SPEECH_TO_COME = frozenset(
    {EventType.LLM_TEXT, EventType.TTS_STARTED, EventType.AGENT_SPEECH_STARTED}
)


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What a session is to be, decided before it starts."""

    transport: str
    room: str
    prompt: str
    greeting: str
    """Said first; empty: the caller speaks first."""
    source_sample_rate: int
    """Hz, of the caller's audio on the wire."""
    output_sample_rate: int
    """Hz, of the pipeline's output: the first participant's wire rate."""
    frame_ms: int = 20
    lead_ms: int = 60
    max_secs: float = 3600
    idle_secs: float = 300
    park_secs: float = 30


class Session:
    """One live conversation of one agent.

    Args:
        session_id: Its id, time-ordered.
        runtime: The agent.
        plan: What it is to be.
        event_log: Its log, already attached to the record store.
        clock: Source of time.
        transport: What the pipeline stands on; None for one that participants share.
    """

    def __init__(
        self,
        session_id: str,
        *,
        runtime: AgentRuntime,
        plan: SessionPlan,
        event_log: EventLog,
        clock: Clock,
        transport: CallTransport | None = None,
    ):
        self.id = session_id
        self.plan = plan
        self.runtime = runtime
        self.log = event_log
        self.room = plan.room or session_id
        self.state = SessionState.CONNECTING
        self.prompt = plan.prompt
        self.started_at = clock.utc_now()
        self.ended = asyncio.Event()
        self._clock = clock
        self._started = self._last_life = clock.monotonic()
        self._parked_at = 0.0
        self._agent_speaking = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._away = False
        self._peers: dict[str, Participant] = {}
        self._end: tuple[EndReason, str] | None = None
        self._hang_up_after_speech = False
        self._hang_up_deadline = 0.0
        self._helpers: set[asyncio.Task[None]] = set()
        self.transport: CallTransport = transport or SessionTransport(
            input_sample_rate=INPUT_SAMPLE_RATE,
            output_sample_rate=plan.output_sample_rate,
            frame_ms=plan.frame_ms,
            lead_ms=plan.lead_ms,
            clock=clock,
        )
        event_log.add_sink(self._watch)
        agent = runtime.definition
        event_log.append(
            facts.SessionStarted(
                agent=agent.name,
                transport=plan.transport,
                room=self.room,
                language=agent.language,
                services=runtime.service_names,
                input_sample_rate=self.transport.input_sample_rate,
                output_sample_rate=self.transport.output_sample_rate,
                antiphon_version=__version__,
            )
        )
        self.pipeline = CallPipeline(
            session_id=session_id,
            agent=agent,
            prompt=plan.prompt,
            services=runtime.services(source_sample_rate=plan.source_sample_rate),
            transport=self.transport,
            tools=runtime.tools(self._end_call),
            tool_context=ToolContext(session_id=session_id, agent=agent.name, caller=self.room),
            event_log=event_log,
            clock=clock,
        )

    # What it is now.

    @property
    def participants(self) -> int:
        """Connections in the session now."""
        return len(self._peers)

    @property
    def end_reason(self) -> str:
        """Why it ended, or an empty string."""
        return self._end[0].value if self._end else ""

    @property
    def age_secs(self) -> float:
        """Seconds since it began."""
        return self._clock.monotonic() - self._started

    def describe(self) -> dict[str, Any]:
        """The session as lists of live sessions show it."""
        return {
            "id": self.id,
            "agent": self.runtime.definition.name,
            "transport": self.plan.transport,
            "room": self.room,
            "state": self.state.value,
            "started_at": self.started_at.isoformat(),
            "duration_ms": round(self.age_secs * 1000),
            "participants": [peer.remote for peer in self._peers.values()],
        }

    # Its life.

    async def run(self) -> None:
        """Run the pipeline to its end, then close everything. Cancelling ends the session."""
        try:
            if self.plan.greeting:
                await self.pipeline.say(self.plan.greeting)
            await self.pipeline.run()
        except asyncio.CancelledError:
            self._end = self._end or (EndReason.SHUTDOWN, "")
            raise
        except Exception as error:
            log.exception("session %s: the pipeline failed", self.id)
            self.log.append(
                facts.ErrorOccurred(code="pipeline_failed", message=str(error), fatal=True)
            )
            self._end = (EndReason.ERROR, str(error))
        finally:
            self._finish()

    def _finish(self) -> None:
        self._end = self._end or (EndReason.ERROR, "the pipeline ended by itself")
        reason, detail = self._end
        for task in self._helpers:
            task.cancel()
        self.pipeline.observer.close()
        self.state = SessionState.ENDED
        self.log.append(
            facts.SessionEnded(
                reason=reason.value, duration_ms=round(self.age_secs * 1000), detail=detail
            )
        )
        for peer in tuple(self._peers.values()):
            peer.leave()
            peer.close(1000, reason.value)
        self._peers.clear()
        self.log.close()
        self._quiet.set()
        self.ended.set()

    async def end(self, reason: EndReason, *, detail: str = "", last_words: str = "") -> None:
        """End the session; with `last_words`, once they have been heard. Idempotent."""
        if self._end is not None:
            return
        self._end = (reason, detail)
        if last_words and self._peers and self.pipeline.started.is_set():
            self._spawn(self._cut_off(GOODBYE_SECS))
            await self.pipeline.finish(last_words)
        else:
            await self.pipeline.cancel()

    async def _cut_off(self, secs: float) -> None:
        await asyncio.sleep(secs)
        await self.pipeline.cancel()

    async def _end_call(self, _context: ToolContext, reason: str) -> None:
        """The agent's `end_call`: hang up when it has said goodbye."""
        self._hang_up_after_speech = True
        self._hang_up_deadline = self._clock.monotonic() + END_CALL_GRACE_SECS
        log.info("session %s: the agent ends the call: %s", self.id, reason)

    async def _hang_up(self) -> None:
        # What was paced ahead is still on its way to the caller's ear.
        await asyncio.sleep(self.plan.lead_ms / 1000 + 0.25)
        await self.end(EndReason.AGENT_HANGUP)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)

    def _watch(self, event: Event) -> None:
        if event.type in _SIGNS_OF_LIFE:
            self._last_life = self._clock.monotonic()
        if event.type in _SPEECH_TO_COME:
            self._quiet.clear()
        if event.type is EventType.AGENT_SPEECH_STARTED:
            self._agent_speaking = True
        elif event.type in (EventType.AGENT_SPEECH_STOPPED, EventType.INTERRUPTED):
            self._agent_speaking = False
            self._quiet.set()
            if self._hang_up_after_speech and event.type is EventType.AGENT_SPEECH_STOPPED:
                self._spawn(self._hang_up())

    async def reap(self) -> None:
        """End the session when one of its limits is passed; called about every quarter second."""
        if self._end is not None:
            return
        now = self._clock.monotonic()
        words = self.runtime.definition.goodbye
        if self.state is SessionState.PARKED:
            if now - self._parked_at >= self.plan.park_secs:
                await self.end(EndReason.ABANDONED)
        elif self._hang_up_after_speech and now >= self._hang_up_deadline:
            if not self._agent_speaking:
                await self.end(EndReason.AGENT_HANGUP)
        elif now - self._started >= self.plan.max_secs:
            await self.end(EndReason.MAX_DURATION, last_words=words)
        elif self._away:
            self._last_life = now
        elif now - self._last_life >= self.plan.idle_secs and not self._agent_speaking:
            await self.end(EndReason.IDLE, last_words=words)

    # Its participants.

    async def join(self, peer: Participant) -> None:
        """Take a participant in; one that is already here is replaced.

        Raises:
            Conflict: the session has ended, or its transport cannot be shared.
        """
        if self._end is not None:
            raise Conflict("the session has ended; connect again for a new one", code="ended")
        peer.join(self.transport)
        for old in tuple(self._peers.values()):
            self._remove(old, Departure("replaced"))
            old.close(1000, "replaced by a newer connection", departure="replaced")
        self._peers[peer.participant] = peer
        self.log.append(
            facts.ParticipantJoined(
                participant=peer.participant,
                transport=peer.transport_name,
                remote=peer.remote,
                sample_rate=peer.wire.sample_rate,
            )
        )
        self.log.add_sink(peer.tell)
        if self.state is SessionState.PARKED:
            self.state = transition(self.state, Signal.REJOINED)
            parked_ms = round((self._clock.monotonic() - self._parked_at) * 1000)
            self.log.append(facts.SessionResumed(participant=peer.participant, parked_ms=parked_ms))
            if self.runtime.definition.resume_phrase:
                await self.pipeline.say(self.runtime.definition.resume_phrase)
        elif self.state is SessionState.CONNECTING:
            self.state = transition(self.state, Signal.READY)

    async def hand_over(self, peer: Participant) -> None:
        """The participant belongs to another session: let go of it and end."""
        self._remove(peer, Departure("moved"))
        await self.end(EndReason.REPLACED)

    async def leave(self, peer: Participant, departure: Departure) -> None:
        """A participant's connection ended: end the session, or park it for a rejoin."""
        if not self._remove(peer, departure):
            return
        if self._peers or self._end is not None:
            return
        if departure.reason == "disconnect" or (
            departure.reason == "closed" and peer.close_is_goodbye
        ):
            await self.end(EndReason.CALLER_HANGUP)
        elif self.plan.park_secs <= 0:
            await self.end(EndReason.CONNECTION_LOST)
        else:
            self.state = transition(self.state, Signal.LOST)
            self._parked_at = self._clock.monotonic()
            self.log.append(facts.SessionParked(wait_ms=round(self.plan.park_secs * 1000)))
            await self.pipeline.interrupt()

    def _remove(self, peer: Participant, departure: Departure) -> bool:
        if self._peers.pop(peer.participant, None) is None:
            return False
        peer.leave()
        self.log.remove_sink(peer.tell)
        self.log.append(
            facts.ParticipantLeft(
                participant=peer.participant,
                reason=departure.reason,
                close_code=departure.close_code,
            )
        )
        return True

    # What can be asked of it.

    async def say(self, text: str, *, by: str = "operator") -> None:
        """Have the agent speak `text`.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        self.log.append(facts.OperatorAction(action="say", detail=f"{by}: {text}"))
        await self.pipeline.say(text)

    async def settle(self) -> None:
        """Return once the caller has heard what the agent is about to say, or the session ends."""
        await self._quiet.wait()

    async def announce(self, text: str) -> None:
        """Have the agent speak `text` and return once it has been heard.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        self._quiet.clear()
        await self.pipeline.say(text)
        await self.settle()

    async def caller_away(self, *, away: bool) -> None:
        """The caller hears music on hold: what comes in is not for the agent, and nobody is idle.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        self._away = away
        await self.pipeline.listen(on=not away)

    async def interrupt(self, *, by: str = "operator") -> None:
        """Stop the agent's speech.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        self.log.append(facts.OperatorAction(action="interrupt", detail=by))
        await self.pipeline.interrupt()

    async def type(self, text: str) -> None:
        """Take a typed user turn.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        await self.pipeline.type(text)

    async def press(self, digit: str) -> None:
        """The caller pressed a key: one of `0-9*#`; others are noted only.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        await self.pipeline.press(digit)

    def set_prompt(self, prompt: str, *, by: str) -> None:
        """Replace the system prompt.

        Raises:
            Conflict: the session has ended.
        """
        self._alive()
        if prompt != self.prompt:
            self.prompt = prompt
            self.pipeline.set_prompt(prompt)
            self.log.append(facts.PromptUpdated(prompt=prompt, by=by))

    async def configure(
        self,
        *,
        system_prompt: str | None,
        stt: Any = None,
        llm: Any = None,
        tts: Any = None,
    ) -> None:
        """Take a peer's configuration: the prompt at once, the hints where a service allows.

        Raises:
            InvalidMessage: a hint is malformed; nothing of the message is applied.
        """
        self._alive()
        applied, ignored = await apply_hints(
            self.pipeline, self.runtime.service_names, stt=stt, llm=llm, tts=tts
        )
        if system_prompt:
            self.set_prompt(system_prompt, by="peer")
            applied["system_prompt"] = len(system_prompt)
        self.log.append(facts.Configured(room=self.room, applied=applied, ignored=ignored))

    def _alive(self) -> None:
        if self._end is not None:
            raise Conflict(f"session {self.id} has ended", code="ended")
