"""The doctor: each finding names the trouble and its fix."""

import json
import socket
import threading
from collections import namedtuple
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon.cli import app, checks
from antiphon.cli.exchange_check import check_exchange
from antiphon.cli.findings import Finding
from antiphon.settings import Settings


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


@contextmanager
def listener(body: bytes) -> Iterator[int]:
    """Something that answers any GET with `body`; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_fresh_machine_is_healthy(place: Path) -> None:
    done = CliRunner().invoke(
        app, ["doctor", "--json", "--port", "0", "--data-dir", "data"], catch_exceptions=False
    )
    findings = json.loads(done.stdout)
    assert [f for f in findings if f["level"] == "error"] == []
    assert done.exit_code == 0
    assert {f["check"] for f in findings} >= {
        "settings",
        "data directory",
        "database",
        "access",
        "port",
        "agent",
        "models",
        "clock",
    }
    assert (place / "data" / "antiphon.db").is_file()


@pytest.mark.usefixtures("place")
def test_wrong_settings_are_findings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PORTT", "1")
    done = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert done.exit_code == 1
    assert "did you mean ANTIPHON_PORT?" in done.stdout
    assert "→" in done.stdout


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = only(checks.check_data_dir(settings(data_dir=tmp_path / "file" / "data")))
    assert found.level == "error"
    assert "--data-dir" in found.fix


def test_a_data_directory_open_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    first, second = checks.check_data_dir(settings(data_dir=tmp_path))
    assert first.level == "ok"
    assert (second.level, second.fix) == ("warning", f"chmod 700 {tmp_path}")


@pytest.mark.parametrize(("free", "level"), [(10**8 - 1, "error"), (10**8, "warning")])
def test_little_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage(10**9, 0, free))
    tmp_path.chmod(0o700)
    found = only(checks.check_data_dir(settings(data_dir=tmp_path)))
    assert (found.level, bool(found.fix)) == (level, True)


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "antiphon.db").write_bytes(b"this is no database at all" * 100)
    found = only(checks.check_database(settings(data_dir=tmp_path)))
    assert found.level == "error"
    assert "antiphon.db" in found.message


def test_a_port_that_another_program_has() -> None:
    with listener(b"<html>") as port:
        found = only(checks.check_port(settings(port=port)))
    assert found.level == "error"
    assert str(port) in found.message
    assert "ANTIPHON_PORT" in found.fix


def test_a_port_where_antiphon_answers_already() -> None:
    with listener(b'{"active_rooms": 0}') as port:
        found = only(checks.check_port(settings(port=port)))
    assert found.level == "ok"
    assert "already" in found.message


def test_a_port_held_by_something_that_does_not_speak_http() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        original, checks.PROBE_TIMEOUT_S = checks.PROBE_TIMEOUT_S, 0.1
        try:
            found = only(checks.check_port(settings(port=silent.getsockname()[1])))
        finally:
            checks.PROBE_TIMEOUT_S = original
    assert found.level == "error"


def test_being_open_to_strangers(tmp_path: Path) -> None:
    found = only(checks.check_access(settings(host="0.0.0.0", data_dir=tmp_path)))
    assert found.level == "error"
    allowed = settings(host="0.0.0.0", data_dir=tmp_path, allow_anonymous=True)
    assert only(checks.check_access(allowed)).level == "warning"
    keyed = settings(host="0.0.0.0", data_dir=tmp_path, api_keys="k" * 16)
    assert only(checks.check_access(keyed)).message.endswith("with a key")


def test_an_agent_that_does_not_exist() -> None:
    found = only(checks.check_agent(settings(agent="nobody")))
    assert found.level == "error"
    assert "'nobody'" in found.message


def test_an_agent_file_with_mistakes_has_a_finding_each(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nservices: {stt: nothing, llm: openai, tts: embedded}\n")
    found = list(checks.check_agent(settings(agent=str(path))))
    assert {f.level for f in found} == {"error"}
    text = "\n".join(f.message for f in found)
    assert "no service 'nothing'" in text
    assert "OPENAI_API_KEY" in text


def test_files_that_settings_name_and_are_not_there(tmp_path: Path) -> None:
    found = list(
        checks.check_files(
            settings(
                tls_cert_file=tmp_path / "c.pem",
                tls_key_file=tmp_path / "k.pem",
                agents_dir=tmp_path / "agents",
            )
        )
    )
    assert [f.message.split()[0] for f in found] == ["tls_cert_file", "tls_key_file", "agents_dir"]


def test_too_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (1024, 4096))
    assert only(checks.check_open_files(settings())).level == "ok"
    found = only(checks.check_open_files(settings(max_sessions=1000)))
    assert found.level == "warning"
    assert "ulimit -n 8200 (as root" in found.fix


def test_a_clock_that_is_years_behind() -> None:
    found = only(checks.check_clock(datetime(2001, 1, 1, tzinfo=UTC)))
    assert found.level == "error"
    assert "timedatectl" in found.fix


def test_no_exchange_is_no_finding() -> None:
    assert list(check_exchange(Settings())) == []


def test_an_exchange_that_answers_is_named_and_one_that_does_not_has_a_fix() -> None:
    with listener(b'{"system":{"version":"22.8.0"}}') as port:
        known = {"ari_username": "a", "ari_password": "b"}
        there = settings(ari_url=f"http://127.0.0.1:{port}/ari", **known)
        found = only(check_exchange(there))
    assert (found.level, "22.8.0" in found.message) == ("ok", True)
    gone = only(check_exchange(there))
    assert gone.level == "error"
    assert "ari.conf" in gone.fix
