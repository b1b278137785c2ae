"""The Asterisk example holds together: every name in one file is there in the other."""

import re
from collections import defaultdict
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from antiphon.protocols.asterisk_formats import FORMATS, media_format
from antiphon.settings import Settings
from support import asterisk_config as config
from support.asterisk_config import Section, Step

DEPLOY = Path(__file__).parents[2] / "deploy/asterisk"
ETC = DEPLOY / "etc/asterisk"
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))

DIALPLAN = config.load(ETC / "extensions.conf")
STEPS = config.steps(DIALPLAN)
PJSIP = config.load(ETC / "pjsip.conf")
CONNECTIONS = {s.name: s for s in config.load(ETC / "websocket_client.conf") if not s.is_template}

# configs/samples/websocket_client.conf.sample of Asterisk 22.8.
CLIENT_OPTIONS = {
    *("type", "connection_type", "uri", "protocols", "username", "password", "connection_timeout"),
    *("reconnect_interval", "reconnect_attempts", "tls_enabled", "ca_list_file", "ca_list_path"),
    *("cert_file", "priv_key_file", "verify_server_cert", "verify_server_hostname"),
}
REQUIRED_RATES = {
    "8": "slin",
    **{rate: f"slin{rate}" for rate in ("12", "16", "24", "32", "44", "48", "96", "192")},
}


def _websocket_dials() -> list[tuple[Step, str, dict[str, str], str]]:
    """Step, connection, options, and Dial's own options of each `Dial(WebSocket/…)`."""
    found = []
    for step in STEPS:
        target, *rest = config.arguments(step.arguments)
        if step.application == "Dial" and target.startswith("WebSocket/"):
            _, connection, options = target.split("/", 2)
            dial_options = rest[1] if len(rest) > 1 else ""
            found.append((step, connection, config.websocket_options(options), dial_options))
    return found


# The parser.


def test_the_parser_reads_templates_comments_and_both_arrows() -> None:
    sections = config.parse(
        "[base](!)\na = 1 ; said why\nb => 2\n;-- [no]\nx = y\n--;\n[one](base)\nb = 3\nc = p\\;q\n"
    )
    assert [(s.name, s.is_template) for s in sections] == [("base", True), ("one", False)]
    assert sections[1].options == [("a", "1"), ("b", "2"), ("b", "3"), ("c", "p;q")]
    assert sections[1].get("b") == "3"


@pytest.mark.parametrize("text", ["a = 1", "[x]\nnothing", "[x](missing)", "[x]\n= 1"])
def test_the_parser_refuses_what_asterisk_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        config.parse(text)


@pytest.mark.parametrize(
    "line",
    ["exten = 1,2,Hangup()", "same = n,Hangup()", "exten = 1,1,Hangup", "ext = 1,1,Hangup()"],
)
def test_the_parser_refuses_a_broken_dialplan(line: str) -> None:
    with pytest.raises(ValueError, match=r"step|priority"):
        config.steps(config.parse(f"[x]\n{line}\n"))


@pytest.mark.parametrize("options", ["x", "c", "c(slin", "cc(slin)", "n(1)", "c(slin)c(ulaw)"])
def test_bad_websocket_options_are_found(options: str) -> None:
    with pytest.raises(ValueError, match=r"option|bracket"):
        config.websocket_options(options)


def test_websocket_options_as_captured_from_a_real_dial() -> None:
    text = "c(slin16)f(json)nv(uniqueid=1795212558.88,from=${URIENCODE(${CALLERID(num)})})"
    assert config.websocket_options(text) == {
        "c": "slin16",
        "f": "json",
        "n": "",
        "v": "uniqueid=1795212558.88,from=${URIENCODE(${CALLERID(num)})}",
    }


# The dialplan.


def test_one_extension_a_rate_as_the_requirement_has_them() -> None:
    dialled = {
        step.extension: f"Dial({step.arguments})" for step in STEPS if step.context == "rates"
    }
    for extension, codec in REQUIRED_RATES.items():
        assert dialled[extension] == f"Dial(WebSocket/pipecat/c({codec}))"


def test_every_websocket_dial_can_be_carried_out() -> None:
    dials = _websocket_dials()
    assert len(dials) > len(REQUIRED_RATES)
    for step, connection, options, _ in dials:
        assert connection in {*CONNECTIONS, "INCOMING"}, step
        assert options.get("f", "json") in ("json", "plain-text"), step
        assert options.get("d", "both") in ("both", "in", "out"), step
        assert media_format(options["c"]).name == options["c"], step


def test_every_fixed_size_format_has_an_extension() -> None:
    dialled = {options["c"] for _, _, options, _ in _websocket_dials()}
    assert {known.name for known in FORMATS.values() if known.is_fixed_size} <= dialled


def test_uri_parameters_are_encoded_and_never_given_to_incoming() -> None:
    named = []
    for step, connection, options, _ in _websocket_dials():
        if "v" not in options:
            continue
        assert connection != "INCOMING", f"{step}: chan_websocket refuses v(…) there"
        for pair in config.arguments(options["v"]):
            name, _, value = pair.partition("=")
            assert re.fullmatch(r"\w+", name), step
            assert re.fullmatch(r"[\w.-]+|\$\{UNIQUEID\}|\$\{URIENCODE\(.+\)\}", value), step
            named.append(name)
    assert {"agent", "uniqueid"} <= set(named)


def test_a_section_is_dialled_always_or_never_with_parameters() -> None:
    """Asterisk keeps the last `v(…)` with the section: the next call without one would send it."""
    uses = defaultdict(set)
    for _, connection, options, _ in _websocket_dials():
        uses[connection].add("v" in options)
    assert {connection: len(kinds) for connection, kinds in uses.items() if len(kinds) > 1} == {}


def test_every_place_that_is_gone_to_exists() -> None:
    contexts = {section.name for section in DIALPLAN}
    included = {value for s in DIALPLAN for name, value in s.options if name == "include"}
    assert included <= contexts
    places = {(step.context, step.extension) for step in STEPS}
    labels = {(step.context, step.extension, step.label) for step in STEPS if step.label}
    checked = 0
    for step in STEPS:
        parts = config.arguments(step.arguments)
        if step.application == "Goto":
            assert (parts[0], parts[1]) in places, step
        elif step.application == "GotoIf":
            label = step.arguments.rpartition("?")[2]
            assert (step.context, step.extension, label) in labels, step
        elif step.application == "Dial" and len(parts) > 2 and parts[2].startswith("b("):
            context, extension, _ = parts[2][2:-1].split("^")
            assert (context, extension) in places, step
        else:
            continue
        checked += 1
    assert checked > 5


def test_no_two_included_contexts_claim_a_number() -> None:
    (phones,) = [section for section in DIALPLAN if section.name == "phones"]
    reachable = [value for name, value in phones.options if name == "include"]
    numbers = [
        extension
        for context in reachable
        for extension in {step.extension for step in STEPS if step.context == context}
    ]
    assert len(numbers) == len(set(numbers))
    table = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)
    assert {number for row in table for number in row.split(", ")} == set(numbers)


# The other files.


def _of_type(kind: str) -> dict[str, Section]:
    return {
        section.name: section
        for section in PJSIP
        if not section.is_template and section.get("type") == kind
    }


def test_the_phones_hang_together() -> None:
    endpoints, auths, aors = _of_type("endpoint"), _of_type("auth"), _of_type("aor")
    assert set(endpoints) == set(aors) == {"1", "2"}
    contexts = {section.name for section in DIALPLAN}
    for name, endpoint in endpoints.items():
        login = auths[endpoint.get("auth")]
        assert (login.get("username"), login.get("password")) == (name, name)
        assert endpoint.get("aors") in aors
        assert endpoint.get("transport") in _of_type("transport")
        assert endpoint.get("context") in contexts
    dialled = {
        config.arguments(step.arguments)[0].removeprefix("PJSIP/")
        for step in STEPS
        if step.application == "Dial" and step.arguments.startswith("PJSIP/")
    }
    assert dialled == set(endpoints)


def test_what_has_an_example_password_listens_on_loopback() -> None:
    for transport in _of_type("transport").values():
        assert ip_address(transport.get("bind").rpartition(":")[0]).is_loopback
    http = config.one(config.load(ETC / "http.conf"), "general")
    assert ip_address(http.get("bindaddr")).is_loopback


@pytest.mark.parametrize("commented", [False, True], ids=["as it is", "TLS uncommented"])
def test_the_connections_lead_to_our_endpoint(commented: bool) -> None:
    text = (ETC / "websocket_client.conf").read_text(encoding="utf-8")
    if commented:
        text = re.sub(r"^;(?=\S)", "", text, flags=re.MULTILINE)
    sections = {s.name: s for s in config.parse(text) if not s.is_template}
    assert set(sections) == {"pipecat", "antiphon"} | ({"pipecat-tls"} if commented else set())
    for section in sections.values():
        assert section.names <= CLIENT_OPTIONS
        assert section.get("type") == "websocket_client"
        assert section.get("connection_type") == "per_call_config"
        assert section.get("protocols") == "media"
        url = urlsplit(section.get("uri"))
        assert url.path == "/ws/asterisk"
        if url.scheme == "wss":
            assert section.get("tls_enabled") == "yes"
        else:
            assert url.port == Settings.model_fields["port"].default


def test_control_messages_are_json() -> None:
    section = config.one(config.load(ETC / "chan_websocket.conf"), "global")
    assert section.options == [("control_message_format", "json")]


def test_ari_has_the_user_and_the_application_of_the_dialplan() -> None:
    ari = config.load(ETC / "ari.conf")
    assert config.one(ari, "general").get("enabled") == "yes"
    user = config.one(ari, "antiphon")
    assert (user.get("type"), user.get("read_only")) == ("user", "no")
    applications = [config.arguments(s.arguments)[0] for s in STEPS if s.application == "Stasis"]
    assert applications == ["antiphon"]


def test_what_is_required_is_not_left_out() -> None:
    modules = config.one(config.load(ETC / "modules.conf"), "modules")
    required = {value for name, value in modules.options if name == "require"}
    left_out = {value for name, value in modules.options if name == "noload"}
    assert {"chan_websocket.so", "res_websocket_client.so"} == required
    assert not left_out & {*required, "chan_pjsip.so", "res_ari.so", "pbx_config.so"}
    assert modules.get("autoload") == "yes"


def test_the_ports_that_the_readme_opens_are_those_of_the_files() -> None:
    rtp = config.one(config.load(ETC / "rtp.conf"), "general")
    start, end = int(rtp.get("rtpstart")), int(rtp.get("rtpend"))
    assert start % 2 == 0
    assert start < end <= 65_535
    assert f"{start} to {end}" in README
    (transport,) = _of_type("transport").values()
    assert f"UDP {transport.get('bind').rpartition(':')[2]}" in README


def test_every_file_is_parsed_and_named_in_the_readme() -> None:
    files = sorted(ETC.glob("*.conf"))
    assert len(files) > 8
    for path in files:
        assert config.load(path), path.name
        assert f"`{path.name}`" in README


# Compose.


def test_the_compose_file_mounts_what_exists() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["network_mode"] == "host", name
        assert "ports" not in service, f"{name}: Docker ignores ports on the host's network"
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir(), mount
                assert mount.endswith(":ro"), mount
            else:
                assert source in COMPOSE["volumes"]
    build = COMPOSE["services"]["antiphon"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_image_is_pinned_to_a_version_with_json_control_messages() -> None:
    tag = COMPOSE["services"]["asterisk"]["image"].rpartition(":")[2]
    found = re.match(r"(\d+)\.(\d+)\.\d+", tag)
    assert found is not None, "no version in the tag"
    major, minor = int(found[1]), int(found[2])
    assert {20: minor >= 18, 22: minor >= 8, 23: minor >= 2}.get(major, major > 23)


def test_the_environment_of_antiphon_is_known_and_stays_on_loopback() -> None:
    environment = COMPOSE["services"]["antiphon"]["environment"]
    known = {f"ANTIPHON_{name.upper()}" for name in Settings.model_fields}
    assert set(environment) <= known
    assert ip_address(environment["ANTIPHON_HOST"]).is_loopback


def test_call_control_fits_the_files_of_asterisk() -> None:
    given = {
        name.removeprefix("ANTIPHON_").lower(): value
        for name, value in COMPOSE["services"]["antiphon"]["environment"].items()
    }
    settings = Settings(**given)
    user = config.one(config.load(ETC / "ari.conf"), settings.ari_username)
    assert settings.ari_password is not None
    assert user.get("password") == settings.ari_password.get_secret_value()
    http = config.one(config.load(ETC / "http.conf"), "general")
    url = urlsplit(settings.ari_url)
    assert (url.hostname, str(url.port)) == (http.get("bindaddr"), http.get("bindport"))
    applications = {config.arguments(s.arguments)[0] for s in STEPS if s.application == "Stasis"}
    assert applications == {settings.ari_app}
    assert settings.ari_websocket_connection in CONNECTIONS
    assert config.websocket_options(settings.ari_websocket_options)
    people = {step.extension for step in STEPS if step.context == "people"}
    assert settings.ari_endpoint == "Local/{to}@people"
    assert set(settings.transfer_targets.values()) <= people
