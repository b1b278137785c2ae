"""Agent files: found, read, checked.

An agent is a YAML file with the fields of `AgentDefinition`. The files that come with the server
lie in this package; an operator's own directory adds to them and replaces them by name.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from antiphon.domain.agent import AgentDefinition
from antiphon.errors import ConfigurationError, NotFound

SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 1_000_000
EMBEDDED = "embedded"
"""Name of the services that need the agent's `dialogue` files."""


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """A checked agent and where it came from."""

    definition: AgentDefinition
    path: Path
    """The agent file."""

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.definition.name

    @property
    def directory(self) -> Path:
        """Directory that the file names in the definition are relative to."""
        return self.path.parent

    @property
    def sentences_path(self) -> Path | None:
        """The agent's sentence templates, if it has any."""
        dialogue = self.definition.dialogue
        return self.directory / dialogue.sentences if dialogue else None

    @property
    def responses_path(self) -> Path | None:
        """The agent's responses file, if it has one."""
        dialogue = self.definition.dialogue
        return self.directory / dialogue.responses if dialogue else None


def builtin_directory() -> Path:
    """Where the agents that come with the server are."""
    return Path(str(files("antiphon") / "agents"))


def load_agent(path: Path) -> LoadedAgent:
    """Read and check an agent file.

    Raises:
        ConfigurationError: The file cannot be used; every problem is listed with its field.
    """
    raw = _read(path)
    if not isinstance(raw, dict):
        raise ConfigurationError(["must be a mapping of an agent's fields"], source=str(path))
    try:
        definition = AgentDefinition.model_validate(raw)
    except ValidationError as exc:
        problems = [_problem(e["loc"], e["msg"]) for e in exc.errors()]
        raise ConfigurationError(problems, source=str(path)) from exc
    agent = LoadedAgent(definition, path)
    if problems := list(_file_problems(agent)):
        raise ConfigurationError(problems, source=str(path))
    return agent


def agent_json_schema() -> dict[str, Any]:
    """JSON schema of agent files, for editors."""
    schema = AgentDefinition.model_json_schema()
    _allow_short_forms(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class AgentStore:
    """The agents of a server: those of the package and those of the operator's directory.

    Files are read anew at each call, so an edited agent serves the next session.

    Args:
        user_directory: The operator's agents; a name there replaces the package's agent.
        builtin: Directory of the package's agents.
    """

    def __init__(self, user_directory: Path | None = None, builtin: Path | None = None):
        self._directories = [d for d in (user_directory, builtin or builtin_directory()) if d]

    def list(self) -> list[LoadedAgent]:
        """Every agent, by name.

        Raises:
            ConfigurationError: Some files cannot be used, or share a name; every problem is listed.
        """
        agents: dict[str, LoadedAgent] = {}
        problems: list[str] = []
        for directory in self._directories:
            here: dict[str, LoadedAgent] = {}
            for path in _agent_files(directory):
                try:
                    agent = load_agent(path)
                except ConfigurationError as exc:
                    problems += [f"{path}: {problem}" for problem in exc.problems]
                    continue
                if other := here.get(agent.name):
                    problems.append(f"{path}: name: {agent.name!r} is taken by {other.path}")
                here[agent.name] = agent
            agents = {**here, **agents}
        if problems:
            raise ConfigurationError(problems)
        return sorted(agents.values(), key=lambda agent: agent.name)

    def resolve(self, name_or_path: str) -> LoadedAgent:
        """An agent by name, or by the path of its file (anything with a `/` or a YAML suffix).

        For what the operator writes (settings, command line); a client's words go to `get`, which
        never opens a path.

        Raises:
            NotFound: There is no agent of this name.
            ConfigurationError: Its file cannot be used.
        """
        if "/" in name_or_path or name_or_path.endswith(SUFFIXES):
            return load_agent(Path(name_or_path).expanduser())
        return self.get(name_or_path)

    def get(self, name: str) -> LoadedAgent:
        """An agent by the name in its file.

        Raises:
            NotFound: There is no agent of this name.
            ConfigurationError: Its file cannot be used.
        """
        known: list[str] = []
        for directory in self._directories:
            for path in _agent_files(directory):
                found = _name_in(path)
                if found == name:
                    return load_agent(path)
                known.append(found)
        raise NotFound(
            f"there is no agent {name!r}; known: {', '.join(sorted(set(known))) or 'none'}",
            field="agent",
        )


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError([f"is larger than {MAX_FILE_BYTES} bytes"], source=str(path))
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError([f"cannot be read: {exc}"], source=str(path)) from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError([f"is not YAML: {exc}"], source=str(path)) from exc


def _agent_files(directory: Path) -> list[Path]:
    """Agent files of a directory: `shop.yaml`, not `shop.sentences.yaml`."""
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if p.suffix in SUFFIXES and "." not in p.stem)


def _name_in(path: Path) -> str:
    """The name a file gives its agent, else the file's own, so that a broken file is reported."""
    try:
        raw = _read(path)
    except ConfigurationError:
        return path.stem
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) else path.stem


def _problem(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(part) for part in location) or 'file'}: {message}"


def _file_problems(agent: LoadedAgent) -> Iterator[str]:
    services = agent.definition.services
    if agent.definition.dialogue is None:
        for kind in ("stt", "llm"):
            if any(choice.name == EMBEDDED for choice in getattr(services, kind)):
                yield f"dialogue: is needed, since services.{kind} names {EMBEDDED!r}"
        return
    for field, path in (
        ("dialogue.sentences", agent.sentences_path),
        ("dialogue.responses", agent.responses_path),
    ):
        if path is not None and not path.is_file():
            yield f"{field}: there is no file {path}"


def _allow_short_forms(schema: dict[str, Any]) -> None:
    """Let editors accept `stt: embedded` and `stt: [embedded, …]`, which the model widens."""
    for entry in schema["$defs"]["Services"]["properties"].values():
        entry["default"] = EMBEDDED
        choice = json.loads(json.dumps(entry.pop("items")))
        entry.pop("type", None)
        one = {"anyOf": [{"type": "string"}, choice]}
        entry["anyOf"] = [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]
