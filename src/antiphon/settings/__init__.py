"""Every setting in one place; nothing else reads the environment."""

from antiphon.settings.load import Loaded, load_settings
from antiphon.settings.table import SECRET_FIELDS, Settings

__all__ = ["SECRET_FIELDS", "Loaded", "Settings", "load_settings"]
