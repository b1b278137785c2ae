"""Agent files: found, read, checked."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from antiphon.agents.loader import (
    MAX_FILE_BYTES,
    AgentStore,
    agent_json_schema,
    builtin_directory,
    load_agent,
)
from antiphon.errors import ConfigurationError, NotFound


def write(directory: Path, name: str, **fields: Any) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.yaml"
    services = {"stt": "deepgram", "llm": "openai", "tts": "embedded"}
    path.write_text(yaml.safe_dump({"name": name, "services": services, **fields}))
    return path


def test_the_shop_agent_comes_with_the_server():
    shop = AgentStore().get("shop")
    assert shop.definition.tools == ["shop", "call"]
    assert shop.definition.services.llm[0].name == "embedded"
    assert shop.sentences_path == builtin_directory() / "shop.sentences.yaml"
    assert shop.responses_path == builtin_directory() / "shop.responses.yaml"
    assert [agent.name for agent in AgentStore().list()] == ["shop"]


def test_the_operators_agents_add_to_and_replace_the_servers(tmp_path: Path):
    write(tmp_path, "clinic", title="Clinic")
    write(tmp_path, "shop", title="My shop")
    store = AgentStore(tmp_path)
    assert [(a.name, a.definition.title) for a in store.list()] == [
        ("clinic", "Clinic"),
        ("shop", "My shop"),
    ]
    assert store.get("shop").definition.title == "My shop"


def test_an_agent_is_found_by_the_name_in_its_file_or_by_its_path(tmp_path: Path):
    path = write(tmp_path, "clinic")
    path = path.rename(tmp_path / "other.yml")
    assert AgentStore(tmp_path).get("clinic").path == path
    assert AgentStore().resolve(str(path)).name == "clinic"
    assert AgentStore(tmp_path).resolve("clinic").path == path


def test_a_clients_words_never_open_a_path(tmp_path: Path):
    path = write(tmp_path, "clinic")
    with pytest.raises(NotFound):
        AgentStore().get(str(path))


def test_an_edited_file_serves_the_next_call(tmp_path: Path):
    store = AgentStore(tmp_path)
    write(tmp_path, "clinic", greeting="Hello")
    assert store.get("clinic").definition.greeting == "Hello"
    write(tmp_path, "clinic", greeting="Good day")
    assert store.get("clinic").definition.greeting == "Good day"


def test_an_unknown_agent_is_not_found_and_the_known_are_named(tmp_path: Path):
    write(tmp_path, "clinic")
    with pytest.raises(NotFound, match="no agent 'bank'; known: clinic, shop") as caught:
        AgentStore(tmp_path).get("bank")
    assert caught.value.field == "agent"


def test_every_problem_of_a_file_is_reported_with_its_field(tmp_path: Path):
    path = write(tmp_path, "bad", language="Klingon!", turns={"vad_confidence": 7}, colour="red")
    with pytest.raises(ConfigurationError) as caught:
        load_agent(path)
    assert caught.value.source == str(path)
    fields = {problem.split(":")[0] for problem in caught.value.problems}
    assert fields == {"language", "turns.vad_confidence", "colour"}


def test_the_store_reports_the_problems_of_all_files(tmp_path: Path):
    write(tmp_path, "one", language="?")
    write(tmp_path, "two", tools="shop")
    (tmp_path / "three.yaml").write_text("- not\n- a mapping")
    (tmp_path / "four.yaml").write_text("a: [")
    write(tmp_path, "five").rename(tmp_path / "six.yaml")
    write(tmp_path, "five")
    with pytest.raises(ConfigurationError) as caught:
        AgentStore(tmp_path).list()
    text = "\n".join(caught.value.problems)
    for expected in (
        "one.yaml: language:",
        "two.yaml: tools:",
        "three.yaml: must be a mapping",
        "four.yaml: is not YAML",
        "six.yaml: name: 'five' is taken by",
    ):
        assert expected in text


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path):
    write(tmp_path, "clinic")
    (tmp_path / "broken.yaml").write_text("a: [")
    store = AgentStore(tmp_path)
    assert store.get("clinic").name == "clinic"
    with pytest.raises(ConfigurationError, match="is not YAML"):
        store.get("broken")


def test_embedded_services_need_the_dialogue_files(tmp_path: Path):
    path = write(tmp_path, "mute", services={"stt": "embedded", "llm": ["openai", "embedded"]})
    with pytest.raises(ConfigurationError) as caught:
        load_agent(path)
    assert [p.split(",")[1] for p in caught.value.problems] == [
        " since services.stt names 'embedded'",
        " since services.llm names 'embedded'",
    ]
    path = write(tmp_path, "mute", dialogue={"sentences": "a.yaml", "responses": "b.yaml"})
    (tmp_path / "a.yaml").write_text("")
    with pytest.raises(ConfigurationError, match=r"dialogue.responses: there is no file .*b.yaml"):
        load_agent(path)


def test_a_huge_or_missing_file_is_a_configuration_error(tmp_path: Path):
    path = tmp_path / "huge.yaml"
    path.write_text("#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than"):
        load_agent(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_agent(tmp_path / "none.yaml")


def test_helper_files_are_not_taken_for_agents(tmp_path: Path):
    write(tmp_path, "clinic")
    (tmp_path / "clinic.sentences.yaml").write_text("intents: {}")
    (tmp_path / "notes.txt").write_text("hello")
    assert [a.name for a in AgentStore(tmp_path).list()] == ["clinic", "shop"]


@pytest.mark.parametrize("stt", ["embedded", ["embedded", {"name": "deepgram"}], {"name": "x"}])
def test_the_schema_accepts_what_the_loader_accepts(stt: object):
    schema = agent_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    raw = yaml.safe_load((builtin_directory() / "shop.yaml").read_text())
    jsonschema.validate({**raw, "services": {"stt": stt}}, schema)


@pytest.mark.parametrize("change", [{"colour": "red"}, {"name": "Not A Name"}, {"tools": "shop"}])
def test_the_schema_refuses_what_the_loader_refuses(change: dict[str, Any]):
    raw = yaml.safe_load((builtin_directory() / "shop.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**raw, **change}, agent_json_schema())
