"""A peer's `stt_config`, `llm_config` and `tts_config`: validated, and applied where possible.

RustPBX hard-codes the models in these objects (nova, gpt-4o-mini, aura), so models are hints that
the agent's own services outrank; limits of the language model are taken where it has them.
"""

from collections.abc import Mapping
from typing import Any

from pipecat.frames.frames import LLMUpdateSettingsFrame
from pipecat.services.settings import LLMSettings

from antiphon.errors import InvalidMessage
from antiphon.pipeline.build import CallPipeline

_NUMBERS: Mapping[str, tuple[float, float]] = {
    "sample_rate": (8_000, 192_000),
    "max_tokens": (1, 1_000_000),
    "temperature": (0, 2),
}
_TEXTS = frozenset({"model", "language", "encoding", "voice"})


async def apply_hints(
    pipeline: CallPipeline,
    services: Mapping[str, str],
    *,
    stt: Mapping[str, Any] | None,
    llm: Mapping[str, Any] | None,
    tts: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Apply the hints of a `configure` message.

    Returns:
        What was applied, and what was not with the reason, by dotted name.

    Raises:
        InvalidMessage: a value has the wrong type or is out of range; nothing was applied.
    """
    given = {"stt": stt or {}, "llm": llm or {}, "tts": tts or {}}
    for kind, config in given.items():
        for name, value in config.items():
            _validate(f"{kind}_config.{name}", name, value)
    applied: dict[str, Any] = {}
    ignored: dict[str, str] = {}
    update: dict[str, Any] = {}
    for kind, config in given.items():
        for name, value in config.items():
            dotted = f"{kind}.{name}"
            if value is None:
                continue
            if kind == "llm" and name in ("max_tokens", "temperature"):
                if services["llm"] == "embedded":
                    ignored[dotted] = "the embedded language model has no such setting"
                else:
                    update[name] = applied[dotted] = value
            elif name == "sample_rate":
                ignored[dotted] = "the wire's rate is set per connection (sample_rate in the URL)"
            else:
                ignored[dotted] = f"the agent's own {kind} service ({services[kind]}) decides"
    if update:
        await pipeline.worker.queue_frame(LLMUpdateSettingsFrame(delta=LLMSettings(**update)))
    return applied, ignored


def _validate(field: str, name: str, value: object) -> None:
    if value is None:
        return
    if name in _NUMBERS:
        low, high = _NUMBERS[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise InvalidMessage(f"{field} must be a number from {low:g} to {high:g}", field=field)
    elif name in _TEXTS and not (isinstance(value, str) and len(value) <= 200):
        raise InvalidMessage(f"{field} must be a string of at most 200 characters", field=field)
