"""`antiphon agents`: which there are, their schema for editors, and a check of a file."""

import json
from pathlib import Path
from typing import Annotated

import typer

agents_app = typer.Typer(
    help="Agent files: list, check, and their JSON schema.", no_args_is_help=True
)


@agents_app.command("list")
def list_agents() -> None:
    """Agents that calls can ask for by name."""
    from antiphon.agents.loader import AgentStore
    from antiphon.cli.tables import print_table
    from antiphon.settings import load_settings

    settings = load_settings().settings
    rows = []
    for agent in AgentStore(settings.agents_dir).list():
        chosen = agent.definition.services
        services = {"stt": chosen.stt, "llm": chosen.llm, "tts": chosen.tts}
        rows.append(
            (
                agent.name + (" (default)" if agent.name == settings.agent else ""),
                agent.definition.title,
                ", ".join(f"{kind} {choices[0].name}" for kind, choices in services.items()),
                str(agent.path),
            )
        )
    print_table(("agent", "title", "services", "file"), rows)


@agents_app.command()
def schema() -> None:
    """JSON schema of agent files, for editors that check YAML as it is written."""
    from antiphon.agents.loader import agent_json_schema

    typer.echo(json.dumps(agent_json_schema(), indent=2, ensure_ascii=False))


@agents_app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Agent files.", metavar="FILE…")],
) -> None:
    """Check agent files and the services they name; every problem is listed. Exits with 1."""
    from antiphon.agents.loader import load_agent
    from antiphon.errors import ConfigurationError
    from antiphon.observability.logging import quiet_logs
    from antiphon.settings import load_settings, provider_secrets

    secrets = provider_secrets(load_settings().settings)
    with quiet_logs():
        from antiphon.services import catalog
    bad = False
    for path in files:
        try:
            agent = load_agent(path)
            problems = catalog.check(agent.definition, secrets)
        except ConfigurationError as error:
            problems = error.problems
        bad = bad or bool(problems)
        for problem in problems:
            typer.echo(f"{path}: {problem}", err=True)
        if not problems:
            typer.echo(f"{path}: is fine")
    if bad:
        raise typer.Exit(1)
