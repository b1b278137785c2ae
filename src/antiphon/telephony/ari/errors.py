"""What can go wrong with the exchange."""

from antiphon.errors import Conflict, ServiceError, Unavailable


class AriRequestError(ServiceError):
    """Asterisk refused an ARI request.

    Args:
        request: Method and path, e.g. `POST /channels/17.1/answer`.
        status: HTTP status of the answer.
        answer: Its `message`.
    """

    code = "ari_error"

    def __init__(self, request: str, status: int, answer: str):
        super().__init__(
            f"ARI {request} answered {status}: {answer}",
            details={"request": request, "status": status, "answer": answer},
        )
        self.status = status
        self.answer = answer


def unreachable(request: str, why: str) -> Unavailable:
    """The error for an exchange that does not answer at all."""
    return Unavailable(
        f"ARI {request}: {why}; is Asterisk up, and are ari_url and its http.conf right?",
        code="ari_unreachable",
        field="ari_url",
        retry_after_s=5,
    )


def not_configured() -> Conflict:
    """The error for call control without an exchange to control."""
    return Conflict(
        "call control needs Asterisk's REST interface: set ari_url, ari_username and ari_password",
        code="ari_not_configured",
        field="ari_url",
    )
