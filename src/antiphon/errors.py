"""One error tree for the whole server.

    AntiphonError
    ├── ConfigurationError     a setting or an agent file is wrong (all problems at once)
    ├── ClientError            the peer or the caller of the API erred
    │   ├── InvalidMessage     a malformed message on a WebSocket
    │   ├── InvalidRequest     a bad parameter
    │   ├── NotFound
    │   ├── Conflict           the request does not fit the present state
    │   ├── Unauthorized
    │   ├── Forbidden          e.g. a WebSocket's Origin is not allowed
    │   └── LimitExceeded      rate, size or number; carries `retry_after_s`
    ├── Unavailable            draining, or a part is not there; carries `retry_after_s`
    └── ServiceError           a speech or language service failed

Each class carries a stable `code`, the HTTP status and the WebSocket close code that answer it, and
the level to log it at. Errors carry data; `antiphon.api.errors` alone turns them into replies.
"""

import logging
from typing import Any, ClassVar


class AntiphonError(Exception):
    """Root of all errors raised by this package.

    Args:
        message: One sentence: what is wrong and, where it can be said, the fix.
        field: Name of the offending field, parameter or setting.
        code: A more precise stable code than the class's own.
        details: Further data for the client; never secrets.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    log_level: ClassVar[int] = logging.ERROR

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.field = field
        self.error_code = code or self.code
        self.details = details or {}

    def as_dict(self) -> dict[str, Any]:
        """The error as the API and the event log show it."""
        data: dict[str, Any] = {"code": self.error_code, "message": self.message}
        if self.field:
            data["field"] = self.field
        if self.details:
            data["details"] = self.details
        return data


class ConfigurationError(AntiphonError):
    """The configuration cannot be used. `problems` holds every problem found, not the first."""

    code = "bad_configuration"
    log_level = logging.CRITICAL

    def __init__(self, problems: list[str], *, source: str | None = None):
        self.problems = list(problems)
        self.source = source
        head = f"{source}: " if source else ""
        super().__init__(head + "; ".join(self.problems))


class ClientError(AntiphonError):
    """The other side erred; the process is fine."""

    code = "bad_request"
    http_status = 400
    close_code = 1008
    log_level = logging.INFO


class InvalidMessage(ClientError):
    """A malformed message on a WebSocket: answered with an error message, the call goes on."""

    code = "invalid_message"
    close_code = 1007


class InvalidRequest(ClientError):
    """A parameter of a request is wrong."""

    code = "invalid_request"
    http_status = 422


class NotFound(ClientError):
    """What was asked for does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(ClientError):
    """The request does not fit the present state, e.g. `say` on an ended session."""

    code = "conflict"
    http_status = 409


class Unauthorized(ClientError):
    """No valid API key or ticket."""

    code = "unauthorized"
    http_status = 401


class Forbidden(ClientError):
    """The client may not do this, whoever it is."""

    code = "forbidden"
    http_status = 403


class LimitExceeded(ClientError):
    """A limit was reached. `retry_after_s` is sent as `Retry-After`."""

    code = "limit_exceeded"
    http_status = 429
    close_code = 1013

    def __init__(self, message: str, *, retry_after_s: int = 1, **kwargs: Any):
        super().__init__(message, **kwargs)
        self.retry_after_s = retry_after_s


class Unavailable(AntiphonError):
    """The server cannot do this now (draining, a part is missing)."""

    code = "unavailable"
    http_status = 503
    close_code = 1013
    log_level = logging.WARNING

    def __init__(self, message: str, *, retry_after_s: int = 5, **kwargs: Any):
        super().__init__(message, **kwargs)
        self.retry_after_s = retry_after_s


class ServiceError(AntiphonError):
    """A speech or language service failed; `details` names it."""

    code = "service_error"
    http_status = 502
    log_level = logging.WARNING
