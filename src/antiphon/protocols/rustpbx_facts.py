"""What RustPBX is told of each fact: the fields of its messages, less the timestamp.

Shapes: `PipecatResponse` in parvbhullar/media-gateway, `src/pipecat/mod.rs`. Durations are unsigned
integers of milliseconds; extra keys are allowed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from antiphon.domain import events as facts
from antiphon.protocols.framing import unsigned

STATUS_CONFIGURED = "configured"

Fields = dict[str, Any]


def messages_of(body: facts.EventBody, *, language: str, room: str) -> list[Fields]:
    """The messages for one fact, most often none or one.

    Args:
        body: The fact.
        language: Language of a transcript that names none: generation A requires one.
        room: `call_id` of a `configured` that names none.
    """
    render = _RENDERERS.get(type(body))
    if render is None:
        return []
    messages = render(body)
    for message in messages:
        if message["type"] == "transcription":
            message["language"] = message["language"] or language
        elif message["type"] == "configured":
            message["call_id"] = message["call_id"] or room
    return messages


def _interim(body: facts.TranscriptInterim) -> list[Fields]:
    return [_transcription(body.text, body.language, is_final=False)]


def _final(body: facts.TranscriptFinal) -> list[Fields]:
    return [_transcription(body.text, body.language, is_final=True)]


def _transcription(text: str, language: str, *, is_final: bool) -> Fields:
    return {"type": "transcription", "text": text, "is_final": is_final, "language": language}


def _configured(body: facts.Configured) -> list[Fields]:
    return [{"type": "configured", "call_id": body.room, "status": STATUS_CONFIGURED}]


def _metric(key: str, duration_ms: float) -> Fields:
    return {"type": "metrics", "key": key, "duration": unsigned(duration_ms)}


def _turn_latency(body: facts.TurnLatency) -> list[Fields]:
    parts = {
        "latency.voice_to_voice": body.voice_to_voice_ms,
        "latency.transcript": body.end_of_speech_to_transcript_ms,
        "latency.end_of_turn": body.end_of_turn_ms,
        "latency.llm_first_token": body.llm_first_token_ms,
        "latency.tts_first_audio": body.tts_first_audio_ms,
        **{f"latency.tool.{name}": duration for name, duration in body.tools.items()},
    }
    return [_metric(key, duration) for key, duration in parts.items() if duration is not None]


def _service_metric(body: facts.ServiceMetric) -> list[Fields]:
    return [_metric(f"{body.metric}.{body.service}", body.duration_ms)]


def _llm_text(body: facts.LlmText) -> list[Fields]:
    return [{"type": "llm_response", "text": body.text, "is_complete": False}]


def _llm_ended(body: facts.LlmEnded) -> list[Fields]:
    return [{"type": "llm_response", "text": body.text, "is_complete": True}]


def _tts_started(body: facts.TtsStarted) -> list[Fields]:
    return [{"type": "tts_started", "text": body.text}]


def _tts_ended(body: facts.TtsEnded) -> list[Fields]:
    return [{"type": "tts_completed", "text": body.text}]


def _error_occurred(body: facts.ErrorOccurred) -> list[Fields]:
    status = 502 if body.code.startswith("service") else 500
    return [{"type": "error", "message": body.message, "code": status, "error_code": body.code}]


_RENDERERS: Mapping[type[facts.EventBody], Callable[[Any], list[Fields]]] = {
    facts.TranscriptInterim: _interim,
    facts.TranscriptFinal: _final,
    facts.LlmText: _llm_text,
    facts.LlmEnded: _llm_ended,
    facts.TtsStarted: _tts_started,
    facts.TtsEnded: _tts_ended,
    facts.TurnLatency: _turn_latency,
    facts.ServiceMetric: _service_metric,
    facts.ErrorOccurred: _error_occurred,
    facts.Configured: _configured,
}
