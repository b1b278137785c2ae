"""`antiphon doctor`: what stands in the way of a first call, and what to do about it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from antiphon.cli.findings import Finding

STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(
    port: Annotated[int | None, typer.Option(help="Port to check instead of the set one.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data directory to check instead of the set one.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Agent to check instead of the set one.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check settings, port, disk, database, models and services; exits with 1 on an error."""
    from antiphon.cli.checks import run_checks
    from antiphon.observability.logging import quiet_logs

    with quiet_logs():
        findings = run_checks({"port": port, "data_dir": data_dir, "agent": agent}, config)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=2, ensure_ascii=False))
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _print(findings: "list[Finding]") -> None:
    from rich.text import Text

    from antiphon.cli.tables import print_table

    rows = []
    for finding in findings:
        text = Text(finding.message)
        if finding.fix:
            text.append(f"\n→ {finding.fix}", style="bold")
        rows.append((finding.check, Text(finding.level, style=STYLES[finding.level]), text))
    print_table(("check", "", "finding"), rows)
