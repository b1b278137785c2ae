"""The lock files pin all of pyproject.toml, by hash, and name no place to get it from."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


def pinned(name: str) -> dict[str, set[str]]:
    """Project to its versions; a project has several when markers tell them apart."""
    found: dict[str, set[str]] = {}
    for project, version in re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE
    ):
        found.setdefault(canonicalize_name(project), set()).add(version)
    return found


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_time() -> list[Requirement]:
    data = project()
    extras = [r for group in data["project"]["optional-dependencies"].values() for r in group]
    texts = [*data["project"]["dependencies"], *extras, *data["dependency-groups"]["build"]]
    return [Requirement(text) for text in texts]


def development() -> list[Requirement]:
    group = project()["dependency-groups"]["dev"]
    return run_time() + [Requirement(text) for text in group if isinstance(text, str)]


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("requirements.lock", run_time()), ("requirements-dev.lock", development())],
)
def test_each_dependency_is_pinned_to_a_version_that_fits(
    lock: str, wanted: list[Requirement]
) -> None:
    versions = pinned(lock)
    for requirement in wanted:
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement.name} is not in {lock}: run `make lock`"
        assert all(
            requirement.specifier.contains(version, prereleases=True) for version in found
        ), f"{lock} has {requirement.name} {found}, pyproject.toml wants {requirement.specifier}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|^-|\s@\s", text, re.MULTILINE)
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block


def test_development_adds_to_run_time_and_changes_nothing() -> None:
    locked, more = pinned(LOCKS[0]), pinned(LOCKS[1])
    assert {name: more.get(name) for name in locked} == locked
