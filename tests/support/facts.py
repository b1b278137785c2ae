"""Hypothesis strategies: any JSON value, any fact, any text a peer may send."""

from datetime import UTC, datetime
from typing import Any, get_type_hints

from hypothesis import strategies as st

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody, Role

AT = datetime(2025, 12, 3, 13, 0, 0, 123_456, tzinfo=UTC)
AT_MS = 1_764_766_800_123

any_text = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=6)
"""Lone surrogates and control characters included."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.sampled_from([2**64, 10**500]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)


class Odd:
    """Something no codec knows, which looks the same when it is copied."""

    def __repr__(self) -> str:
        return "<odd>"


_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    int | None: st.none() | st.integers(),
    str: any_text,
    bool: st.booleans(),
    Role: st.sampled_from(["user", "agent"]),
    Any: json_values | st.sampled_from([AT, frozenset({1, 2}), Odd(), b"x", 10**5000]),
    dict[str, Any]: st.dictionaries(any_text, json_values, max_size=3),
    dict[str, str]: st.dictionaries(any_text, any_text, max_size=3),
    dict[str, int]: st.dictionaries(any_text, st.integers(), max_size=3),
}


def _bodies_of(cls: type[EventBody]) -> st.SearchStrategy[EventBody]:
    hints = get_type_hints(cls)
    names = [name for name in hints if name not in ("type", "transient")]
    return st.builds(cls, **{name: _BY_TYPE[hints[name]] for name in names})


any_body = st.one_of([_bodies_of(cls) for cls in facts.body_classes().values()])
"""Any fact; its fields have the right types and otherwise any value."""


def at(body: EventBody, offset_ms: int = 10, seq: int = 1) -> Event:
    """The fact as an event of session `s`."""
    return Event(session_id="s", seq=seq, at=AT, offset_ms=offset_ms, body=body)
