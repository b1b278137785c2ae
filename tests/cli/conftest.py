"""Commands run in a directory and an environment of their own."""

import os
from pathlib import Path

import pytest

from antiphon.settings import setting_infos


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; no setting in the environment."""
    ours = {name for info in setting_infos() for name in info.environment}
    for name in list(os.environ):
        if name in ours or name.startswith("ANTIPHON_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
