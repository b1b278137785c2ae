"""Dial strings and channel variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import InvalidRequest
from antiphon.protocols.asterisk import AsteriskCodec, MediaStart
from antiphon.protocols.asterisk_options import AsteriskOptions


def start(**variables: str) -> MediaStart:
    return MediaStart(
        connection_id="antiphon",
        channel="WebSocket/antiphon/0x1",
        channel_id="1.2",
        format="slin16",
        optimal_frame_size=640,
        ptime=20,
        channel_variables=variables,
    )


def test_parameters_choose_and_the_rest_fills_the_prompt():
    query = [("agent", "shop"), ("language", "de"), ("uniqueid", "1.1"), ("customer", "Anna")]
    found = AsteriskOptions.of([*query, ("token", "secret")], start(__CALLER_TAG="vip"))
    assert (found.agent, found.language, found.caller_channel) == ("shop", "de", "1.1")
    assert found.variables == {"customer": "Anna", "CALLER_TAG": "vip"}
    assert "secret" not in repr(found)


def test_channel_variables_stand_in_for_parameters():
    told = start(__ANTIPHON_AGENT="shop", _ANTIPHON_LANGUAGE="en")
    assert AsteriskOptions.of([], told).agent == "shop"
    assert AsteriskOptions.of([("agent", "clinic")], told).agent == "clinic"
    assert AsteriskOptions.of([], told).language == "en"


def test_the_dial_string_is_believed_before_a_query_left_from_another_call():
    told = start(DIALEDPEERNUMBER="antiphon/c(slin16)f(json)v(agent=shop,uniqueid=9.9)")
    found = AsteriskOptions.of([("agent", "old"), ("uniqueid", "1.1")], told)
    assert (found.agent, found.caller_channel) == ("shop", "9.9")


def test_a_captured_call_is_read():
    text = (
        '{"event":"MEDIA_START","connection_id":"pipecat","channel":"WebSocket/pipecat/0x7f",'
        '"channel_id":"1795212415.32","format":"slin16","optimal_frame_size":640,"ptime":20,'
        '"channel_variables":{"DIALEDPEERNUMBER":"pipecat/c(slin16)f(json)v(uniqueid='
        '1795212415.31,exten=slin16_json)","__CALLER_TAG":"tag-1795212415"}}'
    )
    told = AsteriskCodec().receive_text(text)
    assert isinstance(told, MediaStart)
    found = AsteriskOptions.of([], told)
    assert found.caller_channel == "1795212415.31"
    assert found.variables["exten"] == "slin16_json"


def test_every_wrong_parameter_is_named():
    with pytest.raises(InvalidRequest) as caught:
        AsteriskOptions.of([("agent", "x" * 65), ("language", "y" * 17)])
    assert [p["field"] for p in caught.value.details["problems"]] == ["agent", "language"]


@given(st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_nothing_else_is_raised(dialled: str, query: list[tuple[str, str]]):
    try:
        AsteriskOptions.of(query, start(DIALEDPEERNUMBER=dialled))
    except InvalidRequest:
        return
