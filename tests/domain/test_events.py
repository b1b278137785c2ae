"""Events: one body a type, plain data there and back."""

import dataclasses
import json
from typing import get_type_hints

import pytest
from hypothesis import given

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody, EventType, body_classes, body_from
from antiphon.protocols.framing import encode
from support.facts import any_body, at


def test_every_type_has_one_body_and_every_body_a_type() -> None:
    assert set(body_classes()) == set(EventType)
    # `slots=True` makes each class twice: the one that counts is the one the module names.
    assert all(getattr(facts, cls.__name__) is cls for cls in body_classes().values())


@pytest.mark.parametrize("cls", body_classes().values(), ids=lambda cls: cls.__name__)
def test_bodies_are_frozen_and_their_fields_are_typed(cls: type[EventBody]) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    assert names <= set(get_type_hints(cls))
    assert not names & {"type", "transient"}


@given(body=any_body)
def test_a_body_comes_back_from_its_data(body: EventBody) -> None:
    data = at(body).data()
    back = body_from(body.type.value, data)
    assert type(back) is type(body)
    assert encode(at(back).data()) == encode(data)
    assert set(data) == {field.name for field in dataclasses.fields(body)}  # type: ignore[arg-type]


def test_data_survives_json() -> None:
    body = facts.ToolCallEnded(turn=2, call_id="c", name="cart", result={"n": [1]}, duration_ms=4)
    assert body_from("tool_call_ended", json.loads(json.dumps(at(body).data()))) == body


def test_fields_of_a_newer_version_are_ignored_and_defaults_fill_in() -> None:
    assert body_from("turn_ended", {"turn": 1, "role": "user", "mood": "glad"}) == facts.TurnEnded(
        turn=1, role="user"
    )


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [("no_such_event", {}, "no_such_event"), ("turn_ended", {"turn": 1}, "role")],
)
def test_data_that_is_no_event_is_refused(kind: str, data: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        body_from(kind, data)


def test_an_event_is_shown_with_its_place_in_the_session() -> None:
    assert at(facts.Dtmf(digit="5", participant="p"), offset_ms=1200, seq=7).as_dict() == {
        "session_id": "s",
        "seq": 7,
        "type": "dtmf",
        "at": "2025-12-03T13:00:00.123456+00:00",
        "offset_ms": 1200,
        "data": {"digit": "5", "participant": "p"},
    }


def test_events_never_change() -> None:
    event: Event = at(facts.SpeechStarted())
    assert event.type is EventType.SPEECH_STARTED
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.seq = 2  # type: ignore[misc]


def test_only_what_repeats_a_lasting_fact_is_transient() -> None:
    assert {kind.value for kind, cls in body_classes().items() if cls.transient} == {
        "transcript_interim",
        "llm_started",
        "llm_text",
        "tts_started",
        "tts_ended",
        "agent_spoke",
    }
