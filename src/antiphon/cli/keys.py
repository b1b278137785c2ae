"""`antiphon keys`: API keys of the data directory."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from antiphon.records.store import KeyRecord, RecordStore
    from antiphon.settings import Settings

keys_app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The server's data directory [default: as set].")
]
MAX_NAME_CHARS = 100


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what the key is for, e.g. pbx-1.")],
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it: it is kept only as a hash and cannot be shown again.

    The key goes to standard output alone, so that scripts can take it.
    """
    from antiphon.cli.stored import with_store
    from antiphon.errors import InvalidRequest

    name = name.strip()
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise InvalidRequest(f"NAME must have 1 to {MAX_NAME_CHARS} characters", field="name")

    async def work(store: "RecordStore") -> tuple[str, str]:
        return await store.create_key(name)

    key_id, key = with_store(_settings(data_dir), work)
    typer.echo(f"Key {key_id} for {name}; keep it now, it cannot be shown again:", err=True)
    typer.echo(key)


@keys_app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the keys, without what would let anybody in."""
    from rich.text import Text

    from antiphon.cli.stored import with_store
    from antiphon.cli.tables import print_table

    async def work(store: "RecordStore") -> "list[KeyRecord]":
        return await store.list_keys()

    rows = []
    for key in with_store(_settings(data_dir), work):
        cells = (
            key.id,
            key.name,
            key.prefix + "…",
            _shown(key.created_at),
            _shown(key.last_used_at),
            _shown(key.revoked_at),
        )
        rows.append([Text(cell, style="dim" if key.revoked_at else "") for cell in cells])
    print_table(("id", "for", "begins with", "made", "last used", "revoked"), rows)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `antiphon keys list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Make a key invalid, from the next request on."""
    from antiphon.cli.stored import with_store
    from antiphon.errors import NotFound

    async def work(store: "RecordStore") -> bool:
        return await store.revoke_key(key_id)

    if not with_store(_settings(data_dir), work):
        raise NotFound(f"there is no valid key {key_id!r}; `antiphon keys list` shows them")
    typer.echo(f"Key {key_id} is revoked.")


def _settings(data_dir: Path | None) -> "Settings":
    from antiphon.settings import load_settings

    return load_settings({"data_dir": data_dir}).settings


def _shown(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
