"""RustPBX's WebSocket protocol, for all three client generations in the wild.

Source: parvbhullar/media-gateway, `src/pipecat/{mod,client,config,passthrough}.rs` and
`src/media/track/pipecat.rs` (branch `voiceAgentBinding`, 2025-12). RustPBX is the client: it sends
`configure`, a `ping`, then audio, all tagged `command`; it reads JSON tagged `type` with serde, so
a message with a missing field or a number in the wrong form (`1.0` for a `u64`) is dropped without
a word. Every timestamp and duration here is an unsigned integer of milliseconds.

Generation A sends audio as JSON and requires `transcription.language`; B sends binary and ignores
binary from us; C sends binary and plays it. JSON audio reaches all three.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from antiphon import __version__
from antiphon.domain.events import Event
from antiphon.errors import AntiphonError
from antiphon.protocols import rustpbx_facts
from antiphon.protocols.framing import (
    AudioIn,
    Configure,
    Disconnect,
    Invalid,
    Message,
    Ping,
    SampleAligner,
    encode,
    epoch_ms,
    invalid,
    is_unsigned,
    parse_object,
    printable,
    read_sample_rate,
    scrub,
    unsigned,
)
from antiphon.protocols.query import MAX_NAME_CHARS, QueryReader

INPUT_SAMPLE_RATE_HZ = 16_000
"""Rate of binary audio from RustPBX; JSON audio carries its own."""

DEFAULT_SAMPLE_RATE_HZ = 16_000
DEFAULT_FRAME_MS = 20
MAX_PROMPT_CHARS = 100_000

OutputForm = Literal["auto", "json", "binary"]
OUTPUT_FORMS: tuple[OutputForm, ...] = ("auto", "json", "binary")

_BYTE_TEXT = tuple(str(value) for value in range(256))
_TAGS = ("command", "type", "event")
_ROOM_KEYS = ("room_id", "call_id", "session_id", "roomId", "callId", "sessionId")
_PROMPT_KEYS = ("system_prompt", "systemPrompt")


@dataclass(frozen=True, slots=True)
class RustpbxOptions:
    """What the query of a RustPBX connection's URL asks for; None: not said."""

    output: OutputForm = "auto"
    sample_rate: int = DEFAULT_SAMPLE_RATE_HZ
    """Hz, of the agent's audio on the wire; 8000 for SIP legs with G.711."""
    frame_ms: int = DEFAULT_FRAME_MS
    """Length of one audio message on the wire, ms; 60 to 100 is best for WebRTC legs."""
    agent: str | None = None
    room: str | None = None
    token: str | None = field(default=None, repr=False)
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Parameters that mean nothing here, for the log."""

    @classmethod
    def from_query(
        cls,
        query: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        output: OutputForm = "auto",
        sample_rate: int = DEFAULT_SAMPLE_RATE_HZ,
        frame_ms: int = DEFAULT_FRAME_MS,
    ) -> Self:
        """Read the query parameters; the keyword arguments are the server's settings.

        Raises:
            InvalidRequest: a parameter is wrong; `details["problems"]` lists all of them.
        """
        reader = QueryReader(query)
        form = reader.choice("output", options=OUTPUT_FORMS)
        rate, frame = reader.audio(sample_rate=sample_rate, frame_ms=frame_ms)
        agent = reader.text("agent", limit=64)
        room = reader.text("room", "room_id", "call_id", "session_id")
        token = reader.text("token", limit=4096)
        return cls(
            output=cast("OutputForm", form or output),
            sample_rate=rate,
            frame_ms=frame,
            agent=agent,
            room=room,
            token=token,
            ignored=reader.finish(),
        )


class RustpbxCodec:
    """One RustPBX connection.

    Form of audio output: `json` reaches every generation, `binary` (3.5 times fewer bytes, no
    encoding) only generation C. `auto` is JSON unless the client has proved to be generation C: on
    its default path it spoke before `connected` was sent, as only C does, and its audio is binary.
    A server that greets on accept, as RustPBX wants, gives it no occasion to, so `auto` is JSON
    there: to guess wrong towards B is a call in which the agent cannot be heard.

    Args:
        output: Form of audio output.
        path_is_root: The client dialled `/`, generation C's default path.
        sample_rate: Rate of the audio given to `audio_out`, Hz.
        language: Language of transcripts whose event has none.
        room: Name to echo in `configured` when the client gives none.
    """

    def __init__(
        self,
        *,
        output: OutputForm = "auto",
        path_is_root: bool = False,
        sample_rate: int = DEFAULT_SAMPLE_RATE_HZ,
        language: str = "en",
        room: str = "",
    ):
        self.output = output
        self.sample_rate = sample_rate
        self.room = room
        self._path_is_root = path_is_root
        self._language = language or "en"
        self._greeted = False
        self._spoke_first = False
        self._binary_up = False
        self._json_up = False
        self._binary_aligner = SampleAligner()
        self._json_aligner = SampleAligner()
        self._json_rate = INPUT_SAMPLE_RATE_HZ
        self._frames = 0
        # The key order puts the variable parts last, so that the head is a constant.
        self._audio_head = (
            f'{{"type":"audio","sample_rate":{int(sample_rate)},"channels":1,"frame_id":"audio_'
        )
        self._commands: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
            "configure": self._configure,
            "ping": _ping,
            "audio": self._audio,
            "disconnect": _disconnect,
            "pong": lambda _: [],
        }

    @property
    def audio_is_binary(self) -> bool:
        """Whether `audio_out` gives bytes at present."""
        if self.output != "auto":
            return self.output == "binary"
        return self._path_is_root and self._spoke_first and self._binary_up and not self._json_up

    # Client to server.

    def receive_bytes(self, data: bytes) -> list[Message]:
        """Audio: PCM16 little-endian mono at 16 kHz, in pieces of any size."""
        self._spoke_first |= not self._greeted
        self._binary_up = True
        pcm = self._binary_aligner.align(data)
        return [AudioIn(pcm, INPUT_SAMPLE_RATE_HZ)] if pcm else []

    def receive_text(self, text: str) -> list[Message]:
        """A JSON command; the tag may also be spelled `type` or `event`."""
        self._spoke_first |= not self._greeted
        data = parse_object(text)
        if isinstance(data, Invalid):
            return [data]
        tag = next((data[key] for key in _TAGS if isinstance(data.get(key), str)), None)
        if tag is None:
            return [invalid('the message has no command; send {"command":…}', field="command")]
        handler = self._commands.get(tag.strip().lower())
        if handler is None:
            return [
                invalid(
                    f"command is {printable(tag, 40)!r}; use configure, ping, audio or disconnect",
                    field="command",
                    code="unknown_command",
                )
            ]
        return handler(data)

    def _configure(self, data: dict[str, Any]) -> list[Message]:
        problems: list[Message] = []
        room = _read_room(data)
        prompt = _read_prompt(data)
        problems += [item for item in (room, prompt) if isinstance(item, Invalid)]
        hints: dict[str, Mapping[str, Any] | None] = {}
        for key in ("stt", "llm", "tts"):
            hint = data.get(f"{key}_config")
            if hint is not None and not isinstance(hint, dict):
                name = f"{key}_config"
                problems.append(
                    invalid(f"{name} must be an object or null, not a value", field=name)
                )
                hint = None
            hints[key] = hint
        if problems:
            return problems
        if isinstance(room, str):
            self.room = room
        return [
            Configure(
                room=cast("str | None", room),
                system_prompt=cast("str | None", prompt),
                raw=data,
                **hints,
            )
        ]

    def _audio(self, data: dict[str, Any]) -> list[Message]:
        values = data.get("audio_data")
        if not isinstance(values, list):
            return [
                invalid("audio_data must be a list of byte values, 0 to 255", field="audio_data")
            ]
        if data.get("channels") not in (None, 1):
            return [invalid("channels must be 1; send mono", field="channels")]
        rate = read_sample_rate(data.get("sample_rate"), INPUT_SAMPLE_RATE_HZ)
        if isinstance(rate, Invalid):
            return [rate]
        try:
            piece = bytes(values)
        except (TypeError, ValueError):
            return [
                invalid(
                    "audio_data has an element that is no byte value; send whole numbers from 0 "
                    "to 255 (PCM16 little-endian, two for each sample)",
                    field="audio_data",
                )
            ]
        self._json_up = True
        if rate != self._json_rate:
            self._json_rate = rate
            self._json_aligner.reset()
        pcm = self._json_aligner.align(piece)
        return [AudioIn(pcm, rate)] if pcm else []

    # Server to client.

    def connected(self, now_ms: int) -> str:
        """The greeting, to be sent on accept before anything else."""
        self._greeted = True
        return encode(
            {
                "type": "connected",
                "server": "antiphon",
                "version": __version__,
                "timestamp": unsigned(now_ms),
            }
        )

    def pong(self, ping: Ping, now_ms: int) -> str:
        """The answer to a ping, with the client's own timestamp where it sent one."""
        stamp = ping.timestamp if ping.timestamp is not None else now_ms
        return encode({"type": "pong", "timestamp": unsigned(stamp)})

    def ping(self, now_ms: int) -> str:
        """A ping of our own."""
        return encode({"type": "ping", "timestamp": unsigned(now_ms)})

    def configured(self, room: str, now_ms: int) -> str:
        """The answer to `configure`; `call_id` is the room's name, as the client gave it."""
        return encode(
            {
                "type": "configured",
                "call_id": room or self.room,
                "status": rustpbx_facts.STATUS_CONFIGURED,
                "timestamp": unsigned(now_ms),
            }
        )

    def error(self, error: AntiphonError, now_ms: int) -> str:
        """An error; `code` is the HTTP status, the stable code is in `error_code`."""
        message = {
            "type": "error",
            "message": error.message,
            "code": error.http_status,
            "timestamp": unsigned(now_ms),
            "error_code": error.error_code,
        }
        if error.field:
            message["field"] = error.field
        return encode(message)

    def audio_out(self, pcm: bytes) -> str | bytes:
        """One paced frame: an `audio` message, or the bytes themselves (see the class)."""
        if self.audio_is_binary:
            return pcm
        self._frames += 1
        # Measured for 640 bytes: 12 us; str(list(pcm)) 32 us, json.dumps 35 us.
        table = _BYTE_TEXT
        values = ",".join([table[value] for value in pcm])
        return f'{self._audio_head}{self._frames}","audio_data":[{values}]}}'

    def event_out(self, event: Event) -> list[str]:
        """The messages that tell RustPBX of a fact.

        `llm_response` streams pieces with `is_complete: false`; the last one, with `is_complete:
        true`, repeats the whole text: RustPBX's page shows the text of each message as it is, so
        an empty tail would blank it, and a client that appends pieces can stop at `is_complete`.
        """
        messages = rustpbx_facts.messages_of(event.body, language=self._language, room=self.room)
        stamp = epoch_ms(event.at) if messages else 0
        return [encode({**message, "timestamp": stamp}) for message in messages]


def _read_room(data: Mapping[str, Any]) -> str | Invalid | None:
    key = next((key for key in _ROOM_KEYS if data.get(key) not in (None, "")), None)
    if key is None:
        return None
    value = data[key]
    if type(value) is int and is_unsigned(value):
        value = str(value)
    if not isinstance(value, str):
        return invalid(f"{key} must be a string", field=key)
    value = scrub(value).strip()
    if len(value) > MAX_NAME_CHARS:
        return invalid(
            f"{key} has {len(value)} characters; send at most {MAX_NAME_CHARS}", field=key
        )
    return value or None


def _read_prompt(data: Mapping[str, Any]) -> str | Invalid | None:
    """`system_prompt`, also as `config.pipecat.systemPrompt`; blank counts as not given."""
    places: list[Mapping[str, Any]] = [data]
    config = data.get("config")
    if isinstance(config, dict):
        nested = config.get("pipecat")
        places += [nested, config] if isinstance(nested, dict) else [config]
    found = ((key, place[key]) for place in places for key in _PROMPT_KEYS if place.get(key))
    key, value = next(found, ("", None))
    if value is None:
        return None
    if not isinstance(value, str):
        return invalid(f"{key} must be a string or null", field=key)
    if len(value) > MAX_PROMPT_CHARS:
        return invalid(
            f"{key} has {len(value)} characters; send at most {MAX_PROMPT_CHARS}", field=key
        )
    return scrub(value) if value.strip() else None


def _ping(data: dict[str, Any]) -> list[Message]:
    stamp = data.get("timestamp")
    return [Ping(stamp if is_unsigned(stamp) else None)]


def _disconnect(data: dict[str, Any]) -> list[Message]:
    reason = data.get("reason")
    return [Disconnect(printable(reason, 200) if isinstance(reason, str) else "")]
