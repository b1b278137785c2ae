"""Log lines: one an event, with the session, in two forms, without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger as loguru_logger

from antiphon.observability.logging import (
    LogWriter,
    Redactor,
    configure_logging,
    current_session_id,
    quiet_logs,
    session_log_context,
)

LOG = logging.getLogger("antiphon.test")


def fail(message: str) -> None:
    raise ValueError(message)


class Logs:
    """Configured logs whose lines can be read."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.writer: LogWriter | None = None

    def configure(self, **options: Any) -> None:
        self.writer = configure_logging(stream=self.stream, **options)

    def lines(self) -> list[str]:
        assert self.writer is not None
        self.writer.close()
        return self.stream.getvalue().splitlines()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def logs() -> Iterator[Logs]:
    found = Logs()
    yield found
    if found.writer is not None:
        found.writer.close()
    logging.captureWarnings(capture=False)


def test_a_text_line_has_time_level_logger_session_and_message(logs: Logs) -> None:
    logs.configure()
    with session_log_context("01JABC"):
        LOG.info("turn %d began", 3)
    LOG.warning("outside")
    first, second = logs.lines()
    assert first.endswith(" INFO     antiphon.test [01JABC]: turn 3 began")
    assert first[10] == "T"
    assert first[23] == "Z"
    assert second.endswith(" WARNING  antiphon.test: outside")


def test_a_json_line_has_the_same_and_extra_fields(logs: Logs) -> None:
    logs.configure(form="json")
    with session_log_context("01JABC"):
        LOG.info("slow", extra={"took_ms": 12, "peer": "10.0.0.1"})
    (record,) = logs.records()
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "antiphon.test",
        "message": "slow",
        "session_id": "01JABC",
        "took_ms": 12,
        "peer": "10.0.0.1",
    }


def test_what_a_caller_sends_cannot_forge_a_second_line(logs: Logs) -> None:
    logs.configure()
    LOG.info("room %s", "x\n2026-01-01T00:00:00.000Z INFO antiphon: forged\x1b[2J\u2028")
    (line,) = logs.lines()
    assert r"x\n2026-01-01" in line
    assert r"\x1b[2J\u2028" in line


def test_a_traceback_is_kept_and_is_one_line_in_json(logs: Logs) -> None:
    logs.configure(form="json")
    try:
        fail("bad frame")
    except ValueError:
        LOG.exception("codec failed")
    (record,) = logs.records()
    assert record["message"] == "codec failed"
    assert record["exception"].endswith("ValueError: bad frame")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_never_appears(logs: Logs, form: Any) -> None:
    logs.configure(form=form, secrets=["sk-abcdef", "sk-abcdef-longer"])
    LOG.info("key %s in use", "sk-abcdef-longer", extra={"header": "x sk-abcdef"})
    LOG.info("GET /ws/pcm?rate=8000&token=tick.et-1&room=a and api_key=fine")
    LOG.info("Authorization: Bearer abc.def-ghi123")
    try:
        fail("sk-abcdef")
    except ValueError:
        LOG.exception("failed")
    text = "\n".join(logs.lines())
    assert "sk-abcdef" not in text
    assert "tick.et" not in text
    assert "rate=8000" in text
    assert "room=a" in text
    assert "abc.def" not in text
    assert "-longer" not in text


def test_short_secrets_do_not_hide_ordinary_words() -> None:
    assert Redactor(["on", ""]).clean("once upon") == "once upon"


def test_loguru_lines_join_ours_with_session_and_level(logs: Logs) -> None:
    logs.configure(form="json")
    with session_log_context("01JABC"):
        loguru_logger.info("from {}", "pipecat")
        loguru_logger.success("done")
    loguru_logger.debug("not shown")
    first, second = logs.records()
    assert (first["message"], first["session_id"]) == ("from pipecat", "01JABC")
    assert first["level"] == second["level"] == "info"


def test_a_loguru_exception_brings_its_traceback(logs: Logs) -> None:
    logs.configure(form="json")
    try:
        fail("inside")
    except ValueError:
        loguru_logger.exception("service failed")
    (record,) = logs.records()
    assert record["level"] == "error"
    assert "ValueError: inside" in record["exception"]


def test_below_the_level_loguru_formats_nothing(logs: Logs) -> None:
    class Costly:
        def __format__(self, spec: str) -> str:
            raise AssertionError("was formatted")

    logs.configure(level="info")
    loguru_logger.debug("{}", Costly())
    assert logs.lines() == []


def test_debug_is_ours_and_not_that_of_noisy_libraries(logs: Logs) -> None:
    logs.configure(level="debug")
    LOG.debug("ours")
    logging.getLogger("httpx").info("GET https://provider/?key=…")
    logging.getLogger("some.library").debug("theirs")
    (line,) = logs.lines()
    assert line.endswith("ours")


def test_the_file_has_the_same_lines_and_is_rotated(logs: Logs, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "pipecat_server.log"
    logs.configure(file=path, file_max_bytes=2_000, file_keep=2)
    for number in range(200):
        LOG.info("line %d", number)
    lines = logs.lines()
    assert path.read_text().splitlines()[-1] == lines[-1]
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "pipecat_server.log",
        "pipecat_server.log.1",
        "pipecat_server.log.2",
    ]


def test_lines_that_cannot_be_queued_are_dropped_and_counted(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    class Stuck(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.writing = threading.Event()
            self.freed = threading.Event()

        def write(self, text: str) -> int:
            self.writing.set()
            self.freed.wait(10)
            return super().write(text)

    monkeypatch.setattr("antiphon.observability.logging.MAX_QUEUED_LINES", 2)
    stuck = logs.stream = Stuck()
    logs.configure()
    LOG.info("held up")
    assert stuck.writing.wait(10)
    for number in range(5):  # two are queued, three are dropped
        LOG.info("line %d", number)
    stuck.freed.set()
    assert [line.rsplit(": ", 1)[1] for line in logs.lines()] == [
        "held up",
        "line 0",
        "line 1",
        "the log is written too slowly",
    ]
    assert "3 log lines were dropped" in stuck.getvalue()


def test_closing_puts_the_former_handlers_back() -> None:
    before = logging.getLogger().handlers[:]
    writer = configure_logging(stream=io.StringIO())
    assert logging.getLogger().handlers != before
    writer.close()
    writer.close()
    assert logging.getLogger().handlers == before


def test_quiet_logs_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet_logs():
        LOG.error("hidden")
        loguru_logger.error("hidden")
    assert capsys.readouterr().err == ""


async def test_the_session_follows_into_tasks_and_not_out_of_the_context() -> None:
    import asyncio

    async def look() -> str | None:
        return current_session_id()

    async with asyncio.TaskGroup() as group:
        with session_log_context("01JABC"):
            inside = group.create_task(look())
        outside = group.create_task(look())
    assert inside.result() == "01JABC"
    assert outside.result() is None
