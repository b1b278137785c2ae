"""From the names in an agent file to tool sets, and the one way a tool is called."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from json import dumps, loads
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from antiphon.clock import Clock
from antiphon.errors import ConfigurationError
from antiphon.tools.base import Tool, ToolContext, ToolFailed, ToolSet
from antiphon.tools.shop import ShopTools
from antiphon.tools.shop.toolset import DATABASE_NAME

logger = logging.getLogger(__name__)

CATALOGUE_NAME = "shop.catalogue.yaml"

Builder = Callable[[Path, Path | None, Clock | None], ToolSet]


def _shop(data_dir: Path, agent_dir: Path | None, clock: Clock | None) -> ToolSet:
    """The shop; a catalogue beside the agent file comes before the one of the package."""
    catalogue = agent_dir / CATALOGUE_NAME if agent_dir else None
    if catalogue is None or not catalogue.is_file():
        catalogue = Path(str(files("antiphon") / "agents" / CATALOGUE_NAME))
    return ShopTools(data_dir / DATABASE_NAME, catalogue, clock)


_BUILDERS: Mapping[str, Builder] = {"shop": _shop}

PER_CALL_SETS = frozenset({"call", "telephony"})
"""Sets that the session itself builds for each call (`antiphon.tools.call.CallTools` and
`antiphon.tools.telephony.TelephonyTools`)."""


def known_toolsets() -> list[str]:
    """Names that an agent's `tools` may list."""
    return sorted(_BUILDERS.keys() | PER_CALL_SETS)


def build_toolsets(
    names: Sequence[str],
    *,
    data_dir: Path,
    agent_dir: Path | None = None,
    clock: Clock | None = None,
) -> list[ToolSet]:
    """The shared tool sets of an agent, not yet opened, in the order named.

    Names of per-call sets (`PER_CALL_SETS`) are accepted and left out: the session builds those.

    Args:
        names: What the agent file says under `tools`.
        data_dir: Directory for the databases of the sets.
        agent_dir: Directory of the agent file, where it may have its own seed data.
        clock: Where the sets read the time.

    Raises:
        ConfigurationError: A name is unknown or given twice; all of them are listed.
    """
    known = known_toolsets()
    problems = [
        f"tools: there is no tool set {name!r}; known: {', '.join(known)}"
        for name in names
        if name not in known
    ]
    problems += [f"tools: {n!r} is named twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    if problems:
        raise ConfigurationError(problems)
    return [_BUILDERS[name](data_dir, agent_dir, clock) for name in names if name in _BUILDERS]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(loads(schema))


def validate_arguments(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """Problems of `arguments` against the tool's JSON schema; empty when they are right."""
    validator = _validator(dumps(tool.parameters, sort_keys=True))
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'arguments'}: {error.message}"
        for error in sorted(validator.iter_errors(dict(arguments)), key=lambda e: list(e.path))
    ]


async def call_tool(tool: Tool, ctx: ToolContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a tool: arguments checked, time limited, every failure as data.

    Returns:
        The handler's result, or `{"ok": false, "error": reason, …}` with `bad_arguments`,
        `timed_out`, `tool_failed` or the tool's own reason. Only cancellation is raised.
    """
    if problems := validate_arguments(tool, arguments):
        logger.info("tool %s called with bad arguments: %s", tool.name, "; ".join(problems))
        return ToolFailed("bad_arguments", problems=problems).as_result()
    try:
        async with asyncio.timeout(tool.timeout_s):
            return await tool.handler(ctx, dict(arguments))
    except ToolFailed as failure:
        return failure.as_result()
    except TimeoutError:
        logger.warning("tool %s took longer than %s s", tool.name, tool.timeout_s)
        return ToolFailed("timed_out").as_result()
    except Exception:
        logger.exception("tool %s failed in session %s", tool.name, ctx.session_id)
        return ToolFailed("tool_failed").as_result()
