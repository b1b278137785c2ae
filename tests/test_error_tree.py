"""The error tree: stable codes and the answers that go with them."""

import logging

import pytest

from antiphon import errors
from antiphon.errors import AntiphonError

# Codes, HTTP status and WebSocket close codes are public: clients rely on them.
PUBLIC = {
    "AntiphonError": ("internal_error", 500, 1011),
    "ConfigurationError": ("bad_configuration", 500, 1011),
    "ClientError": ("bad_request", 400, 1008),
    "InvalidMessage": ("invalid_message", 400, 1007),
    "InvalidRequest": ("invalid_request", 422, 1008),
    "NotFound": ("not_found", 404, 1008),
    "Conflict": ("conflict", 409, 1008),
    "Unauthorized": ("unauthorized", 401, 1008),
    "Forbidden": ("forbidden", 403, 1008),
    "LimitExceeded": ("limit_exceeded", 429, 1013),
    "Unavailable": ("unavailable", 503, 1013),
    "ServiceError": ("service_error", 502, 1011),
}


def tree(root: type[AntiphonError]) -> list[type[AntiphonError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in tree(child))]


def test_every_error_of_the_module_is_in_the_tree_and_has_its_public_answers() -> None:
    ours = [cls for cls in tree(AntiphonError) if cls.__module__ == errors.__name__]
    answers = {cls.__name__: (cls.code, cls.http_status, cls.close_code) for cls in ours}
    assert answers == PUBLIC


def test_codes_are_unique_and_what_clients_do_wrong_is_no_error_in_the_log() -> None:
    assert len({code for code, _, _ in PUBLIC.values()}) == len(PUBLIC)
    assert all(cls.log_level < logging.ERROR for cls in tree(errors.ClientError))


def test_an_error_is_shown_with_what_is_known_and_no_more() -> None:
    assert errors.NotFound("no such session").as_dict() == {
        "code": "not_found",
        "message": "no such session",
    }
    error = errors.InvalidRequest(
        "rate is 1 Hz", field="rate", code="bad_rate", details={"least": 8000}
    )
    assert error.as_dict() == {
        "code": "bad_rate",
        "message": "rate is 1 Hz",
        "field": "rate",
        "details": {"least": 8000},
    }
    assert (str(error), errors.InvalidRequest.code) == ("rate is 1 Hz", "invalid_request")


def test_a_configuration_error_tells_every_problem_and_its_source() -> None:
    error = errors.ConfigurationError(["port is 0", "host is empty"], source="antiphon.toml")
    assert error.problems == ["port is 0", "host is empty"]
    assert str(error) == "antiphon.toml: port is 0; host is empty"


@pytest.mark.parametrize(
    ("error", "secs"),
    [
        (errors.LimitExceeded("too many"), 1),
        (errors.LimitExceeded("too many", retry_after_s=30, field="sessions"), 30),
        (errors.Unavailable("draining"), 5),
    ],
)
def test_refusals_for_now_say_when_to_come_back(
    error: errors.LimitExceeded | errors.Unavailable, secs: int
) -> None:
    assert error.retry_after_s == secs
