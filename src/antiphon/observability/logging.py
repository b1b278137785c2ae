"""Logs: one line an event, with the session's id, as text or JSON; never a secret.

Writing is done by a thread, so that a slow disk or terminal never holds up a call's audio; when it
falls too far behind, lines are dropped and their number is logged. Pipecat logs with loguru, which
is bridged here once.
"""

import atexit
import json
import logging
import logging.handlers
import queue
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from loguru import Message

MAX_QUEUED_LINES = 10_000
"""Lines that may wait for the writing thread before new ones are dropped."""

MIN_SECRET_CHARS = 6
"""Shorter secrets are not looked for: they would hide ordinary words."""

REDACTED = "[redacted]"

NOISY_LOGGERS = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "websockets",
    "httpx",
    "httpcore",
    "asyncio",
    "aiosqlite",
    "sqlalchemy",
    "alembic",
    "aiortc",
    "aioice",
    "numba",
    "multipart",
)
"""Libraries that are heard from `warning` on only, whatever the level."""

_SECRET_PATTERNS = (
    # ?token=… and the like, in URLs that anybody logs
    re.compile(
        r"(?i)([?&](?:token|ticket|api_?key|key|access_token|auth|secret|password|signature)=)"
        r"[^&\s\"'<>]+"
    ),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"),
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_session_id: ContextVar[str | None] = ContextVar("session_id", default=None)

_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "session_id",
    "color_message",
}


@contextmanager
def session_log_context(session_id: str) -> Iterator[None]:
    """Give every line logged inside, also by tasks started inside, the session's id."""
    token = _session_id.set(session_id)
    try:
        yield
    finally:
        _session_id.reset(token)


def current_session_id() -> str | None:
    """The id of the session that the present task works for."""
    return _session_id.get()


class Redactor:
    """Takes secrets out of text.

    Args:
        secrets: Values that must not appear; those under 6 characters are not looked for.
    """

    def __init__(self, secrets: Iterable[str] = ()):
        found = sorted({s for s in secrets if len(s) >= MIN_SECRET_CHARS}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, found))) if found else None

    def clean(self, text: str) -> str:
        """The text without secrets."""
        if self._values is not None:
            text = self._values.sub(REDACTED, text)
        for pattern in _SECRET_PATTERNS:
            text = pattern.sub(rf"\g<1>{REDACTED}", text)
        return text


class _LineFormatter(logging.Formatter):
    """Common to both forms: the redactor and the time."""

    def __init__(self, redactor: Redactor):
        super().__init__()
        self.redactor = redactor

    def time_of(self, record: logging.LogRecord) -> str:
        """UTC with milliseconds, e.g. `2026-11-20T22:29:01.123Z`."""
        at = datetime.fromtimestamp(record.created, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


class TextFormatter(_LineFormatter):
    """For people: time, level, logger, session, message; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        session = getattr(record, "session_id", None)
        message = _UNPRINTABLE.sub(_escaped, record.getMessage())
        line = (
            f"{self.time_of(record)} {record.levelname:<8} {record.name}"
            f"{f' [{session}]' if session else ''}: {message}"
        )
        if record.exc_text:
            line += "\n" + record.exc_text
        return self.redactor.clean(line)


class JsonFormatter(_LineFormatter):
    """For machines: one JSON object a line; `extra` fields become keys."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        data: dict[str, Any] = {
            "time": self.time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.redactor.clean(record.getMessage()),
        }
        if session := getattr(record, "session_id", None):
            data["session_id"] = session
        if record.exc_text:
            data["exception"] = self.redactor.clean(record.exc_text)
        for name, value in record.__dict__.items():
            if name not in _STANDARD_FIELDS:
                plain = isinstance(value, int | float | bool | None)
                data[name] = value if plain else self.redactor.clean(str(value))
        return json.dumps(data, ensure_ascii=False)


class _QueueHandler(logging.handlers.QueueHandler):
    """Hands records to the writing thread; drops them rather than wait."""

    def __init__(self, lines: "queue.Queue[Any]"):
        super().__init__(lines)
        self.lines = lines
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Fix what may change before the thread gets to it: arguments, traceback, session."""
        record = copy(record)  # other handlers see it too
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        record.session_id = _session_id.get()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it as dropped."""
        try:
            self.lines.put_nowait(record)
            if self.dropped:
                self.lines.put_nowait(self.note_of_dropped())
                self.dropped = 0
        except queue.Full:
            self.dropped += 1

    def note_of_dropped(self) -> logging.LogRecord:
        """A line that says how many were dropped."""
        return logging.LogRecord(
            __name__,
            logging.WARNING,
            __file__,
            0,
            "%d log lines were dropped: the log is written too slowly",
            (self.dropped,),
            None,
        )


class _QueueListener(logging.handlers.QueueListener):
    """The writing thread of a bounded queue."""

    def __init__(self, lines: "queue.Queue[Any]", *targets: logging.Handler):
        super().__init__(lines, *targets)
        self.lines = lines

    def enqueue_sentinel(self) -> None:
        """Tell the thread to end, once there is room; the base class gives up on a full queue."""
        self.lines.put(None)


@dataclass(slots=True)
class LogWriter:
    """The writing thread; `close` writes what is queued and ends it."""

    _listener: _QueueListener | None
    _handler: _QueueHandler
    _replaced: list[logging.Handler]

    def close(self) -> None:
        """Write what is queued, stop, put the former handlers back; safe to call twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        root = logging.getLogger()
        root.removeHandler(self._handler)
        for former in self._replaced:
            root.addHandler(former)
        if self._handler.dropped:
            self._handler.lines.put(self._handler.note_of_dropped())
        listener.stop()
        for handler in listener.handlers:
            handler.close()
        atexit.unregister(self.close)


def configure_logging(
    *,
    level: str = "info",
    form: Literal["text", "json"] = "text",
    file: Path | None = None,
    file_max_bytes: int = 50_000_000,
    file_keep: int = 5,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> LogWriter:
    """Set up the logs of the whole process, those of the libraries included.

    Args:
        level: Least severe level logged: debug, info, warning, error or critical.
        form: `text` or `json`.
        file: Also log to this file; its directory is created.
        file_max_bytes: Size at which the file is rotated.
        file_keep: Rotated files kept.
        secrets: Values that never appear in a line.
        stream: Where lines go; standard error when None.

    Raises:
        OSError: the file cannot be opened.
    """
    redactor = Redactor(secrets)
    formatter = JsonFormatter(redactor) if form == "json" else TextFormatter(redactor)
    targets: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        targets.append(
            logging.handlers.RotatingFileHandler(
                file, maxBytes=file_max_bytes, backupCount=file_keep, encoding="utf-8"
            )
        )
    for target in targets:
        target.setFormatter(formatter)
    lines: queue.Queue[Any] = queue.Queue(MAX_QUEUED_LINES)
    handler = _QueueHandler(lines)
    _set_levels(level.upper())
    root = logging.getLogger()
    replaced = root.handlers[:]
    for former in replaced:
        root.removeHandler(former)
    root.addHandler(handler)
    listener = _QueueListener(lines, *targets)
    listener.start()
    writer = LogWriter(listener, handler, replaced)
    atexit.register(writer.close)
    logging.captureWarnings(capture=True)
    _bridge_loguru(level.upper())
    return writer


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Nothing below `critical` is logged inside: for commands whose output is their own."""
    writer = configure_logging(level="critical")
    try:
        yield
    finally:
        writer.close()


def _set_levels(level: str) -> None:
    """Ours and Pipecat's at the level asked for, other libraries no lower than info or warning."""
    number = logging.getLevelNamesMapping()[level]
    logging.getLogger().setLevel(max(number, logging.INFO))
    for name in ("antiphon", "pipecat"):
        logging.getLogger(name).setLevel(number)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _bridge_loguru(level: str) -> None:
    """Send loguru's lines to `logging`; below `level` loguru returns before it formats anything."""
    from loguru import logger

    logger.remove()
    logger.add(
        _from_loguru, level=level, format="{message}", backtrace=False, diagnose=False, catch=True
    )


def _from_loguru(message: "Message") -> None:
    record = message.record
    number = record["level"].no
    # SUCCESS (25) is loguru's own; everything else has logging's numbers.
    standard = number if number in logging.getLevelNamesMapping().values() else logging.INFO
    target = logging.getLogger(record["name"] or "loguru")
    if not target.isEnabledFor(standard):
        return
    exception = record["exception"]
    info: Any = (
        (exception.type, exception.value, exception.traceback)
        if exception is not None and exception.type is not None
        else None
    )
    target.handle(
        target.makeRecord(
            target.name,
            standard,
            record["file"].path,
            record["line"],
            record["message"],
            (),
            info,
            func=record["function"],
        )
    )


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
