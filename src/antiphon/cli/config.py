"""`antiphon config`: the effective value of every setting and where it came from."""

import json
from pathlib import Path
from typing import Annotated

import typer


def config(
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="Configuration file [default: antiphon.toml, here]."),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only settings that are not at their default.")
    ] = False,
    names: Annotated[
        bool, typer.Option("--names", help="Also limits, help and names in the environment.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value and where it came from; never a secret.

    Precedence: command line, environment, .env, antiphon.toml, defaults.
    """
    from antiphon.settings import load_settings, setting_rows

    rows = setting_rows(load_settings(config=config_file))
    if changed:
        rows = tuple(row for row in rows if row.origin != "default")
    if as_json:
        found = [
            {
                "name": row.info.name,
                "value": row.value,
                "origin": row.origin,
                "default": row.info.default,
                "limits": row.info.limits,
                "environment": list(row.info.environment),
                "secret": row.info.secret,
                "help": row.info.help,
            }
            for row in rows
        ]
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from rich.text import Text

    from antiphon.cli.tables import print_table

    headers = ["setting", "value", "from"]
    if names:
        headers += ["limits", "help", "environment"]
    table = []
    for row in rows:
        cells = [row.info.name, row.value, row.origin]
        if names:
            cells += [row.info.limits, row.info.help, "\n".join(row.info.environment)]
        style = "dim" if row.origin == "default" else ""
        table.append([Text(cell, style=style) for cell in cells])
    print_table(headers, table)
