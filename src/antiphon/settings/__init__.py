"""Every setting in one place; nothing else reads the environment.

`table` lists the settings, `load` reads them from all their sources, `checks` finds contradictions,
`show` prints them without secrets.
"""

from antiphon.settings.checks import exposure_problem
from antiphon.settings.load import Loaded, load_settings
from antiphon.settings.show import (
    SettingInfo,
    SettingRow,
    provider_secrets,
    secret_values,
    setting_infos,
    setting_rows,
    shown,
)
from antiphon.settings.table import SECRET_FIELDS, Settings

__all__ = [
    "SECRET_FIELDS",
    "Loaded",
    "SettingInfo",
    "SettingRow",
    "Settings",
    "exposure_problem",
    "load_settings",
    "provider_secrets",
    "secret_values",
    "setting_infos",
    "setting_rows",
    "shown",
]
