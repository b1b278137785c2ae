"""`antiphon services`: the catalogue, and what each service still needs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from antiphon.services.catalog import ServiceSpec


def services(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the services an agent can name, and whether each is ready to use."""
    from rich.text import Text

    from antiphon.cli.tables import print_table
    from antiphon.observability.logging import quiet_logs
    from antiphon.settings import load_settings, provider_secrets

    secrets = provider_secrets(load_settings().settings)
    with quiet_logs():
        from antiphon.services.catalog import CATALOG

        rows = [(spec, _lacking(spec, secrets)) for spec in CATALOG]
    if as_json:
        found = [
            {
                "kind": spec.kind,
                "name": spec.name,
                "title": spec.title,
                "ready": not missing,
                "missing": missing,
                "settings": list(spec.settings),
            }
            for spec, missing in rows
        ]
        typer.echo(json.dumps(found, indent=2))
        return
    print_table(
        ("kind", "name", "what", "ready", "settings in the agent file"),
        (
            (
                spec.kind,
                spec.name,
                spec.title,
                Text("; ".join(missing), "yellow") if missing else Text("yes", "green"),
                ", ".join(spec.settings),
            )
            for spec, missing in rows
        ),
    )


def _lacking(spec: "ServiceSpec", secrets: Mapping[str, str]) -> list[str]:
    """What is to be done before the service can be used."""
    from antiphon.errors import ConfigurationError

    found = [f"set {name.upper()}" for name in spec.needs if not secrets.get(name)]
    try:
        spec.load()
    except ConfigurationError:
        found.insert(0, f"pip install 'antiphon[{spec.extra}]'")
    return found
