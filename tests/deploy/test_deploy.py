"""Every deployment file goes through its own linter where there is one, else through a parser."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from antiphon.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_the_rustpbx_section_dials_our_endpoint() -> None:
    config = tomllib.loads((DEPLOY / "rustpbx/config.toml").read_text())["pipecat"]
    assert config["server_url"].endswith(":8765/ws/rustpbx")
    assert config["audio"] == {**config["audio"], "sample_rate": 16000, "encoding": "linear16"}


def test_the_compose_file_builds_from_the_repository() -> None:
    path = DEPLOY / "docker/compose.yaml"
    service = yaml.safe_load(path.read_text())["services"]["antiphon"]
    context = (path.parent / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).is_file()
    assert "ANTIPHON_API_KEYS" in service["environment"]


def test_the_dockerfile_copies_what_exists_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "docker/Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    for names in copied:
        for name in names.split():
            assert (ROOT / name).exists(), name
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    assert re.search(r"^USER antiphon$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    known = {f"ANTIPHON_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"ANTIPHON_\w+", text)) <= known


def test_the_unit_starts_the_command_without_root() -> None:
    path = DEPLOY / "systemd/antiphon.service"
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    assert " serve " in unit["Service"]["ExecStart"]
    assert unit["Service"]["User"] == "antiphon"
    drain = Settings.model_fields["drain_timeout_secs"].default
    assert float(unit["Service"]["TimeoutStopSec"]) > drain


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        text = (DEPLOY / "nginx/antiphon.conf").read_text()
        assert text.count("{") == text.count("}")
        pytest.skip("nginx is not installed: only the braces were checked")
    config = tmp_path / "nginx.conf"
    config.write_text(f"events {{}}\nhttp {{ include {DEPLOY / 'nginx/antiphon.conf'}; }}\n")
    assert "syntax is ok" in _run(nginx, "-t", "-c", str(config))


def test_haproxy_takes_its_file() -> None:
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        text = (DEPLOY / "haproxy/haproxy.cfg").read_text()
        assert "timeout tunnel" in text
        pytest.skip("haproxy is not installed: only its tunnel time-out was checked")
    _run(haproxy, "-c", "-f", str(DEPLOY / "haproxy/haproxy.cfg"))
