"""Random requests by the API's own description: no reply may be a 5xx or break the description."""

from collections.abc import Iterator

import anyio.from_thread
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from support.live_server import running

CHECKS = [
    schemathesis.checks.not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
]
BOUNDED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    """The description of a server that runs in a thread of its own: the requests are blocking."""
    with (
        anyio.from_thread.start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(running(tmp_path_factory.mktemp("fuzz"))) as live,
    ):
        found = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
        # It has an Asterisk to ask, which is not there: 503 is right.
        yield found.exclude(path="/api/v1/asterisk/connections")


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_no_request_breaks_the_description(
    schema: schemathesis.BaseSchema, mode: schemathesis.GenerationMode
) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        takes_input = any((*operation.query, *operation.path_parameters, *operation.body))
        if mode.is_negative and not takes_input:
            continue  # nothing in it can be wrong

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=mode))
        def replies_as_described(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        replies_as_described()
