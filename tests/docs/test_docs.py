"""The documentation says what the code does: every name that a user meets is in it."""

import re
import subprocess
import sys
from pathlib import Path

import typer.main
from fastapi.routing import iter_route_contexts

from antiphon.app import create_app
from antiphon.cli import app as command
from antiphon.services.catalog import CATALOG
from antiphon.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")}
ALL = "\n".join(PAGES.values())
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/reference_pages.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + "run scripts/reference_pages.py"


def test_every_route_is_documented(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    paths = {context.path for context in iter_route_contexts(app.routes) if context.path}
    ours = {path for path in paths if not path.startswith(("/openapi", "/docs", "/redoc"))}
    assert "/ws/rustpbx" in ours
    missing = [path for path in ours if f"{path}`" not in ALL and f"{path}?" not in ALL]
    assert missing == []


def test_every_command_is_named() -> None:
    names = typer.main.get_command(command).commands  # type: ignore[attr-defined]
    assert [name for name in names if f"antiphon {name}" not in ALL + README] == []


def test_every_service_has_its_row() -> None:
    page = PAGES[ROOT / "docs/services.md"]
    assert [spec.name for spec in CATALOG if f"`{spec.name}`" not in page] == []


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README + ALL, re.MULTILINE))
    assert {"run", "test"} <= named <= targets
