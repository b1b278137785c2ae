"""What routes are given: the running server's parts."""

from typing import Annotated, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from antiphon.api.auth import Authenticator
from antiphon.clock import Clock
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
from antiphon.sessions.manager import SessionManager
from antiphon.settings import Settings
from antiphon.telephony.ari import AriCallControl


class Server(Protocol):
    """The parts of the running server that routes use; `antiphon.app` composes them."""

    settings: Settings
    manager: SessionManager
    store: RecordStore
    writer: EventWriter
    clock: Clock
    authenticator: Authenticator
    call_control: AriCallControl | None
    version: str


def server(connection: HTTPConnection) -> Server:
    """The running server."""
    return cast("Server", connection.app.state.antiphon)


ServerDep = Annotated[Server, Depends(server)]
