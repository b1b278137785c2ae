"""Transcripts of stored sessions, to take away."""

import json
from typing import Literal

from antiphon.domain.events import Event
from antiphon.domain.transcript import to_json_data, to_text, to_webvtt, transcript_of
from antiphon.errors import NotFound
from antiphon.records.store import RecordStore

Format = Literal["text", "json", "vtt"]
PAGE = 1000


async def transcript(store: RecordStore, session_id: str, fmt: Format) -> str:
    """The transcript of a session as text, JSON or WebVTT.

    Raises:
        NotFound: there is no such session.
    """
    record = await store.get_session(session_id)
    if record is None:
        raise NotFound(f"no session {session_id}", code="no_session")
    events: list[Event] = []
    while page := await store.get_events(
        session_id, after_seq=events[-1].seq if events else 0, limit=PAGE
    ):
        events += page
    entries = transcript_of(events)
    if fmt == "json":
        return json.dumps(to_json_data(entries), ensure_ascii=False, indent=2) + "\n"
    return to_text(entries) if fmt == "text" else to_webvtt(entries)
