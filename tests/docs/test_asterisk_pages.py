"""The Asterisk pages say what Asterisk takes and what it was seen to log."""

import ast
import re
from pathlib import Path

import pytest

from antiphon.protocols.asterisk_formats import FORMATS, media_format
from antiphon.transports.asterisk import AsteriskWebsocketParams, AsteriskWebsocketTransport
from support import asterisk_config as config

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs/transports").glob("ast*.md")}
CAPTURED = "\n".join(
    path.read_text("utf-8") for path in (ROOT / "tests/captures/asterisk").glob("*.txt")
)

LOGGED = (
    "Unauthorized",
    "URL not found",
    "Invalid response code",
    "Client start error",
    "Unable to connect",
    "Timeout waiting for HTTP status line",
    "Header mismatch",
    "exceeds maximum length of 128",
    "command unknown",
    "Unable to parse JSON command",
    "not supported while media direction is 'in'",
    "not supported in passthrough mode",
    "Cannot fit huge websocket frame",
    "'f/control message format'",
)


@pytest.mark.parametrize("words", LOGGED)
def test_what_the_page_quotes_was_logged(words: str) -> None:
    start = words.split("'")[1] if words.startswith("'") else words
    assert start in PAGES["asterisk-troubleshooting"]
    assert words in CAPTURED


def _ini_blocks() -> list[str]:
    found = []
    for text in PAGES.values():
        for indent, kind, block in re.findall(r"^( *)```(ini|sh)\n(.*?)^ *```", text, re.M | re.S):
            lines = "".join(line.removeprefix(indent) for line in block.splitlines(keepends=True))
            if kind == "ini":
                found.append(lines)
            else:
                found += re.findall(r"<<'EOF'\n(.*?)^EOF$", lines, re.M | re.S)
    return found


def test_every_piece_of_configuration_parses() -> None:
    blocks = _ini_blocks()
    assert len(blocks) > 8
    for block in blocks:
        assert config.parse(block if block.lstrip().startswith(("[", ";")) else f"[x]\n{block}")


def test_every_dial_string_in_the_pages_is_valid() -> None:
    dials = re.findall(r"Dial\(WebSocket/(\w+)/([^…\n]*?)\)+(?=[`\s])", "\n".join(_ini_blocks()))
    assert len(dials) > 1
    for connection, text in dials:
        options = config.websocket_options(text + ")" * (text.count("(") - text.count(")")))
        assert connection in ("antiphon", "pipecat", "INCOMING")
        assert media_format(options["c"])


def test_every_format_is_named() -> None:
    assert [
        name for name in FORMATS if f"`{name}`" not in PAGES["asterisk"] and name != "opus"
    ] == []


def test_the_example_of_the_library_page_is_the_file() -> None:
    assert '--8<-- "examples/asterisk_library.py"' in PAGES["asterisk-library"]
    tree = ast.parse((ROOT / "examples/asterisk_library.py").read_text("utf-8"))
    handled = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "event_handler"
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"on_media_start", "on_client_disconnected"} <= handled
    assert [name for name in handled if f"`{name}`" not in PAGES["asterisk-library"]] == []


def test_every_parameter_of_the_library_page_exists() -> None:
    section = PAGES["asterisk-library"].split("## Parameters")[1].split("\n## ")[0]
    names = set(re.findall(r"`(\w+)`(?=[,` ].*\|)", "\n".join(_first_cells(section))))
    assert len(names) > 8
    assert names <= set(AsteriskWebsocketParams.model_fields)


def _first_cells(section: str) -> list[str]:
    return [f"{line.split('|')[1]}|" for line in section.splitlines() if line.startswith("| `")]


def test_the_events_of_the_library_page_are_those_of_the_transport() -> None:
    section = PAGES["asterisk-library"].split("## Events")[1].split("\n## ")[0]
    listed = re.findall(r"`(on_\w+)`", "\n".join(_first_cells(section)))
    described = re.findall(r"`(on_\w+)\(", AsteriskWebsocketTransport.__doc__ or "")
    assert len(listed) > 8
    assert sorted(listed) == sorted(described)
