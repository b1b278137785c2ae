"""`antiphon services`: the catalogue, and what each service still needs."""

import json
from typing import Annotated

import typer


def services(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the services an agent can name, and whether each is ready to use."""
    from antiphon.errors import ConfigurationError
    from antiphon.observability.logging import quiet_logs
    from antiphon.services.catalog import CATALOG, ServiceSpec
    from antiphon.settings import load_settings
    from antiphon.settings.show import provider_secrets

    secrets = provider_secrets(load_settings().settings)

    def lacking(spec: ServiceSpec) -> list[str]:
        found = [f"set {name.upper()}" for name in spec.needs if not secrets.get(name)]
        try:
            spec.load()
        except ConfigurationError:
            found.insert(0, f"pip install 'antiphon[{spec.extra}]'")
        return found

    with quiet_logs():
        rows = [(spec, lacking(spec)) for spec in CATALOG]
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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "what", "ready", "settings in the agent file")
    for spec, missing in rows:
        ready = Text("; ".join(missing), "yellow") if missing else Text("yes", "green")
        table.add_row(
            spec.kind, Text(spec.name), Text(spec.title), ready, Text(", ".join(spec.settings))
        )
    Console().print(table)
