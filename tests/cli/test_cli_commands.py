"""The `antiphon` command: config, keys, export, agents, services, and how it fails."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon.agents.loader import builtin_directory
from antiphon.cli import app, main
from antiphon.errors import AntiphonError

HEAVY = ("pipecat", "fastapi", "uvicorn", "sqlalchemy", "numpy", "onnxruntime", "loguru", "httpx")


def run(*arguments: str) -> Any:
    """Run a command; raises what it raised."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def status_and_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, list[str]]:
    """Exit status and lines on standard error of the command as people run it."""
    monkeypatch.setattr(sys, "argv", ["antiphon", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, capsys.readouterr().err.splitlines()


def test_the_command_line_loads_nothing_heavy() -> None:
    program = f"import sys, antiphon.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "[]"


def test_python_dash_m_is_the_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "antiphon", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"antiphon \d+\.\d+\.\d+\n", found.stdout)


@pytest.mark.usefixtures("place")
def test_a_wrong_setting_is_one_line_each_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTIPHON_PORTT", "1")
    monkeypatch.setenv("ANTIPHON_MAX_SESSIONS", "many")
    status, lines = status_and_errors(monkeypatch, capsys, "serve")
    assert status == 2
    assert [line.split()[1] for line in lines] == ["ANTIPHON_PORTT", "max_sessions"]


@pytest.mark.usefixtures("place")
def test_serving_strangers_without_a_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (line,) = status_and_errors(
        monkeypatch, capsys, "serve", "--host", "0.0.0.0", "--port", "0"
    )
    assert status == 2
    assert "'0.0.0.0' (from command line --host)" in line
    assert "antiphon keys create" in line


def test_config_shows_value_and_origin_and_no_secret(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "antiphon.toml").write_text("max_sessions = 7\n")
    (place / ".env").write_text("OPENAI_API_KEY=sk-very-secret\n")
    monkeypatch.setenv("SERVER_PORT", "9000")
    rows = {row["name"]: row for row in json.loads(run("config", "--json").stdout)}
    assert (rows["port"]["value"], rows["port"]["origin"]) == ("9000", "environment SERVER_PORT")
    assert rows["max_sessions"]["origin"] == "antiphon.toml max_sessions"
    assert rows["openai_api_key"]["origin"] == ".env OPENAI_API_KEY"
    table = run("config").stdout
    assert "9000" in table
    assert "sk-very-secret" not in table + json.dumps(rows)
    changed = run("config", "--changed").stdout
    assert "max_sessions" in changed
    assert "log_format" not in changed
    assert "PIPECAT_SERVER_PORT" in run("config", "--names").stdout


@pytest.mark.usefixtures("place")
def test_a_key_is_made_listed_without_its_secret_and_revoked() -> None:
    made = run("keys", "create", "pbx-1", "--data-dir", "data")
    key = made.stdout.strip()
    assert key.startswith("antiphon_")
    listed = run("keys", "list", "--data-dir", "data").stdout
    assert "pbx-1" in listed
    assert key not in listed
    (key_id,) = re.findall(r"Key (\w+) for", made.stderr)
    assert "is revoked" in run("keys", "revoke", key_id, "--data-dir", "data").stdout
    with pytest.raises(AntiphonError, match="no valid key"):
        run("keys", "revoke", key_id, "--data-dir", "data")


@pytest.mark.usefixtures("place")
def test_the_data_directory_is_for_its_owner_only() -> None:
    run("keys", "list", "--data-dir", "data")
    assert Path("data").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("place")
def test_an_export_of_no_session_says_so() -> None:
    with pytest.raises(AntiphonError, match="no session nobody"):
        run("export", "nobody", "--data-dir", "data")
    assert run("export", "nobody", "--format", "mp3").exit_code == 2


def test_agents_are_listed_and_checked(place: Path) -> None:
    assert "shop (default)" in run("agents", "list").stdout
    good = str(builtin_directory() / "shop.yaml")
    assert run("agents", "check", good).exit_code == 0
    bad = place / "bad.yaml"
    bad.write_text("name: bad\ngreetings: hi\nservices: {stt: nothing, llm: openai}\n")
    checked = run("agents", "check", str(bad), good)
    assert checked.exit_code == 1
    assert "greetings" in checked.stderr
    assert "is fine" in checked.stdout


@pytest.mark.usefixtures("place")
def test_the_schema_is_json_schema() -> None:
    schema = json.loads(run("agents", "schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "greeting" in schema["properties"]


@pytest.mark.usefixtures("place")
def test_services_say_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def openai() -> dict[str, Any]:
        (found,) = [
            row for row in json.loads(run("services", "--json").stdout) if row["name"] == "openai"
        ]
        return dict(found)

    assert "set OPENAI_API_KEY" in openai()["missing"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert "set OPENAI_API_KEY" not in openai()["missing"]
    table = run("services").stdout
    assert "embedded" in table
    assert "sk-1" not in table
