"""OpenAI's language models, and every server that speaks the same API (Ollama, vLLM, llama.cpp)."""

from typing import TYPE_CHECKING, Any

from pipecat.services.openai.llm import OpenAILLMService

if TYPE_CHECKING:
    from antiphon.services.catalog import ServiceContext

DEFAULT_MODEL = "gpt-4o-mini"


def llm(context: "ServiceContext") -> OpenAILLMService:
    """Chat completions, streamed; `base_url` points it at another server."""
    given: dict[str, Any] = {"model": context.option("model", "llm_model", DEFAULT_MODEL)}
    for name in ("temperature", "max_tokens"):
        value = context.option(name, f"llm_{name}")
        if value is not None:
            given[name] = value
    return OpenAILLMService(
        api_key=context.secret("openai_api_key"),
        base_url=context.choice.settings.get("base_url"),
        settings=OpenAILLMService.Settings(**given),
    )
