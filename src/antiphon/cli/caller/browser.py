"""The browser page as a caller: PCM16 24 kHz both ways, JSON text from the server.

Source: rodrigowf/agentic, `/api/realtime/pipecat/ws/{conversation_id}`: `transcription` and
`function_call`, which are read as strictly as the page uses them. Of this server's extensions
(`antiphon.protocols.browser`) it reads those that a caller can hear or must act on; the others are
noted, since a page ignores what it does not know.
"""

from datetime import datetime
from typing import Any

from antiphon.cli.caller.messages import (
    AgentText,
    Dropped,
    Flush,
    Heard,
    Notice,
    PeerError,
    ToolCall,
    Transcript,
)
from antiphon.cli.caller.raw import RawAudioCaller

SAMPLE_RATE = 24_000
AGENT_ROLES = ("assistant", "agent", "bot")


class BrowserCaller(RawAudioCaller):
    """A browser.

    Args:
        sample_rate: Hz, both ways; must be what the URL's `sample_rate` says, if it says one.
    """

    name = "browser"

    def __init__(self, sample_rate: int = SAMPLE_RATE):
        super().__init__(sample_rate)

    def meaning(self, kind: str, data: dict[str, Any]) -> Heard:
        """What the page makes of a message."""
        if kind == "transcription":
            return _transcription(data)
        if kind == "function_call":
            if not isinstance(data.get("name"), str) or "arguments" not in data:
                return Dropped("function_call needs name and arguments")
            return ToolCall(data["name"], data["arguments"])
        text = data.get("text")
        if kind == "transcription_interim" and isinstance(text, str):
            return Transcript(text, final=False)
        if kind == "agent_text" and isinstance(text, str) and data.get("spoken"):
            # Word by word, as it is played; what is only written yet may never be heard.
            return AgentText(f"{text.strip()} ", complete=False)
        if kind == "interrupted":
            return Flush()
        if kind == "error":
            return PeerError(str(data.get("message") or data.get("error") or data))
        return Notice(kind, {name: value for name, value in data.items() if name != "type"})


def _transcription(data: dict[str, Any]) -> Heard:
    for name in ("text", "role", "timestamp"):
        if not isinstance(data.get(name), str):
            return Dropped(f"transcription.{name} is missing or not a string")
    try:
        datetime.fromisoformat(data["timestamp"])
    except ValueError:
        return Dropped(f"transcription.timestamp {data['timestamp']!r} is not ISO 8601")
    if data["role"] not in AGENT_ROLES:
        return Transcript(data["text"])
    if data.get("interrupted"):
        # Comes when the caller has long begun the next turn; its words came as they were played.
        return Notice("interrupted_turn", {"text": data["text"]})
    return AgentText(data["text"])
