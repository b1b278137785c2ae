"""The dialogue policy: what to do next, from the messages of the conversation alone.

There is no state outside the language-model context: `Dialogue.decide` replays the newest messages
and derives everything from them (a pending confirmation, a call whose result is due, how often the
caller was not understood). So resuming a session, failing over to this engine from another model,
and replacing the prompt all work; and nothing can disagree with what the caller heard.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Self

from antiphon.services.embedded.replies import Call, Replies, Reply
from antiphon.services.embedded.sentences import Match, SentenceSet

UNCLEAR = "[unclear]"
"""What the embedded recognizer puts before a transcript it does not trust."""

KEYS_PRESSED = "DTMF: "
"""What Pipecat's `DTMFAggregator` puts before the keys that a caller pressed."""

WINDOW_MESSAGES = 60
"""Newest messages replayed; nothing older can matter, as a confirmation is answered at once."""

ASK_LIMIT = 3
"""A confirmation without a clear answer is given up after it was asked this many times."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_TOOL_LOST = re.compile(r"^The function `.*` (is not currently available|failed and returned no)")


@dataclass(frozen=True, slots=True)
class Say:
    """Say `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call a tool; its result comes back as a message."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


Action = Say | CallTool


@dataclass(frozen=True, slots=True)
class _User:
    text: str


@dataclass(frozen=True, slots=True)
class _Agent:
    text: str


@dataclass(frozen=True, slots=True)
class _Called:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class _Result:
    id: str
    data: Mapping[str, Any]


_Fact = _User | _Agent | _Called | _Result


@dataclass(frozen=True, slots=True)
class _Question:
    """A confirmation that was asked."""

    match: Match
    text: str
    """The question itself."""
    said: str
    """All that was said with it, to compare with what was heard."""
    times: int = 1


@dataclass(frozen=True, slots=True)
class _State:
    question: _Question | None = None
    heard: str = ""
    """What the caller has heard since the question was asked."""
    said: str = ""
    """What the agent said last."""
    match: Match | None = None
    """The intent being worked on."""
    checking: bool = False
    """Whether the call under way is the intent's check."""
    open: Match | None = None
    """An intent that could not be carried out and that the caller may complete by one more slot."""
    misses: int = 0
    """Times in a row that the caller was not understood."""
    calls: Mapping[str, str] = field(default_factory=dict)
    """Call id to tool name."""
    answer: Action | None = None
    """What the caller's newest words ask for, until it is done."""
    reports: tuple[str, ...] = ()
    """What the results of calls ask to be said, until something is said."""


class Dialogue:
    """An agent's sentences and replies, as a function from messages to the next action."""

    def __init__(self, sentences: SentenceSet, replies: Replies):
        self.sentences = sentences
        self.replies = replies

    @classmethod
    def load(
        cls, sentences: SentenceSet, responses: Path, tools: Collection[str] | None = None
    ) -> Self:
        """Build the policy of an agent.

        Args:
            sentences: The agent's sentence templates.
            responses: Path of the agent's responses file.
            tools: Names of the agent's tools, to check the file against; None: not checked.

        Raises:
            ConfigurationError: The responses file cannot be used.
        """
        return cls(sentences, Replies.load(responses, sentences, tools))

    def decide(self, messages: Sequence[Any]) -> Action | None:
        """What to do next.

        Args:
            messages: Messages of the context in the universal (OpenAI) format, oldest first;
                whatever is not understood among them is skipped.

        Returns:
            The next action, or None if nothing waits for an answer, e.g. while a call runs.
        """
        state = _State()
        for fact in _without_filler(list(_facts(messages[-WINDOW_MESSAGES:]))):
            state = self._after(state, fact)
        if isinstance(state.answer, CallTool):
            return state.answer
        answer = (state.answer.text,) if state.answer else ()
        text = " ".join(part for part in (*answer, *state.reports) if part)
        return Say(text) if text else None

    # -- one fact ---------------------------------------------------------------------------

    def _after(self, state: _State, fact: _Fact) -> _State:
        match fact:
            case _User(text):
                return self._after_user(replace(state, answer=None, reports=()), text)
            case _Agent(text):
                heard = f"{state.heard} {text}" if state.question else ""
                return replace(state, answer=None, reports=(), said=text, heard=heard)
            case _Called(call_id, name):
                return replace(state, answer=None, calls={**state.calls, call_id: name})
            case _Result(call_id, data):
                return self._after_result(state, state.calls.get(call_id, ""), data)

    def _after_user(self, state: _State, text: str) -> _State:
        understood = self._understood(text)
        if state.question is not None:
            return self._answered(state, state.question, understood)
        if understood is None:
            return self._not_understood(state)
        return self._begin(state, understood)

    def _understood(self, text: str) -> Match | None:
        text = text.strip()
        if text.startswith(UNCLEAR):
            return None
        if text.startswith(KEYS_PRESSED):
            text = self.replies.sentence_for(text.removeprefix(KEYS_PRESSED)) or ""
        return self.sentences.match(text) if text else None

    def _answered(self, state: _State, question: _Question, answer: Match | None) -> _State:
        """The caller spoke after a confirmation had been asked."""
        file = self.replies.file
        reply = file.intents[question.match.intent]
        free = replace(state, question=None, heard="")
        if answer is not None and answer.intent == file.deny:
            return self._say(replace(free, misses=0), reply.declined, question.match)
        if answer is not None and answer.intent == file.affirm:
            if _heard_most(question.said, state.heard):
                return self._call(replace(free, misses=0), question.match, reply.call)
            return self._ask(free, question, question.text)
        if answer is not None and file.intents[answer.intent].repeat:
            return self._ask(free, question, question.text)
        if answer is not None:
            return self._begin(free, answer)
        if question.times >= ASK_LIMIT:
            return self._say(replace(free, misses=0), reply.declined, question.match)
        again = self.replies.render(file.ask_again, question=question.text)
        return self._ask(free, question, again)

    def _not_understood(self, state: _State) -> _State:
        texts = self.replies.file.fallback
        text = self.replies.render(texts[min(state.misses, len(texts) - 1)])
        return replace(state, misses=state.misses + 1, match=None, answer=Say(text))

    def _begin(self, state: _State, match: Match) -> _State:
        """Start on an intent."""
        reply = self.replies.file.intents[match.intent]
        if reply.refine and state.open is not None:
            match = Match(state.open.intent, {**state.open.slots, **match.slots})
            reply = self.replies.file.intents[match.intent]
        state = replace(state, misses=0, open=Match(reply.then) if reply.then else None)
        if reply.repeat and state.said:
            return replace(state, match=match, answer=Say(state.said))
        if reply.say:
            return self._say(state, reply.say, match)
        if reply.check:
            return replace(self._call(state, match, reply.check), checking=True)
        if reply.confirm:
            return self._confirm(state, match, reply, {})
        return self._call(state, match, reply.call)

    def _after_result(self, state: _State, tool: str, data: Mapping[str, Any]) -> _State:
        match = state.match
        if match is not None:
            reply = self.replies.file.intents[match.intent]
            if state.checking and reply.check and reply.check.tool == tool:
                return self._checked(replace(state, checking=False), match, reply, data)
            if reply.tool == tool:
                state = replace(state, open=None if data.get("ok", True) else match)
                return self._report(state, reply, match.slots, data)
        foreign = self.replies.by_tool(tool)
        if foreign is None:
            text = (
                ""
                if data.get("ok", True)
                else self.replies.render(self.replies.file.errors["default"], slots={}, result=data)
            )
            return replace(state, reports=(*state.reports, text))
        return self._report(state, foreign, {}, data)

    def _checked(
        self, state: _State, match: Match, reply: Reply, data: Mapping[str, Any]
    ) -> _State:
        if not data.get("ok", True) or reply.check is None:
            return self._report(state, reply, match.slots, {**data, "ok": False})
        blocked = self.replies.render(reply.check.blocked, slots=match.slots, result=data)
        if blocked:
            return replace(state, reports=(*state.reports, blocked))
        return self._confirm(state, match, reply, data)

    def _report(
        self, state: _State, reply: Reply, slots: Mapping[str, Any], data: Mapping[str, Any]
    ) -> _State:
        text = self.replies.outcome(reply, slots, data)
        return replace(state, reports=(*state.reports, text))

    # -- small steps ------------------------------------------------------------------------

    def _confirm(
        self, state: _State, match: Match, reply: Reply, data: Mapping[str, Any]
    ) -> _State:
        text = self.replies.render(reply.confirm or "", slots=match.slots, result=data)
        question = _Question(match, text, text)
        return replace(state, question=question, heard="", answer=Say(text))

    def _ask(self, state: _State, question: _Question, text: str) -> _State:
        asked = replace(question, said=text, times=question.times + 1)
        return replace(state, question=asked, heard="", answer=Say(text))

    def _call(self, state: _State, match: Match, call: Call) -> _State:
        action = CallTool(call.tool, call.arguments_for(match.slots))
        return replace(state, match=match, checking=False, answer=action)

    def _say(self, state: _State, template: str | None, match: Match) -> _State:
        text = self.replies.render(template or "", slots=match.slots)
        return replace(state, match=match, answer=Say(text))


def _without_filler(facts: list[_Fact]) -> list[_Fact]:
    """Leave out what was spoken while a call ran, so that its result still waits for an answer.

    Pipecat writes a result in the place of the call, before words spoken meanwhile, and then asks
    for an answer; it never asks after an answer. So text after the last result is not its answer.
    """
    end = len(facts)
    while end and isinstance(facts[end - 1], _Agent):
        end -= 1
    return facts[:end] if end and isinstance(facts[end - 1], _Result) else facts


def _heard_most(said: str, heard: str) -> bool:
    """Whether more than half of the words of a question were spoken before the caller cut in."""
    expected, played = _words(said), _words(heard)
    blocks = SequenceMatcher(None, expected, played, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks) > len(expected)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _facts(messages: Sequence[Any]) -> Iterator[_Fact]:
    for message in messages:
        if not isinstance(message, Mapping):  # a message for one vendor's model only
            continue
        role = message.get("role")
        if role == "user":
            yield _User(_text(message))
        elif role == "assistant":
            if text := _text(message):
                yield _Agent(text)
            for call in message.get("tool_calls") or ():
                yield _Called(str(call.get("id", "")), str(call["function"]["name"]))
        elif role in ("tool", "developer"):
            yield from _results(message)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content.strip()
    parts = (part.get("text", "") for part in content if isinstance(part, Mapping))
    return " ".join(part for part in parts if part).strip()


def _results(message: Mapping[str, Any]) -> Iterator[_Result]:
    """Results as Pipecat writes them.

    A `tool` message holds JSON, or `IN_PROGRESS`, `COMPLETED` or `CANCELLED`; the outcome of a call
    that outlives interruptions comes in a `developer` message of type `async_tool`.
    """
    content = _text(message)
    call_id = str(message.get("tool_call_id", ""))
    data = _json(content)
    if isinstance(data, dict) and data.get("type") == "async_tool":
        if data.get("status") != "finished":
            return
        call_id, content = str(data.get("tool_call_id", "")), str(data.get("result", ""))
        data = _json(content)
    elif message.get("role") == "developer":
        return
    if content == "IN_PROGRESS":
        return
    yield _Result(call_id, _outcome(content, data))


def _outcome(content: str, data: Any) -> Mapping[str, Any]:
    if content.startswith("CANCELLED"):
        return {"ok": False, "error": "timed_out"}
    if isinstance(data, dict):
        return {**data, "ok": bool(data.get("ok", "error" not in data))}
    text = data if isinstance(data, str) else content
    if _TOOL_LOST.match(text):
        return {"ok": False, "error": "tool_failed"}
    return {"ok": True, "text": text}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
