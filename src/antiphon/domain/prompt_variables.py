"""Placeholders in a prompt that a call fills in: `{{customer}}`."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def fill(prompt: str, variables: Mapping[str, str]) -> str:
    """`prompt` with each `{{name}}` replaced by the variable's value, empty where there is none.

    Values are put in as they are and not searched again, so that no caller can reach another
    variable through one.
    """
    return _PLACEHOLDER.sub(lambda found: variables.get(found[1], ""), prompt)
