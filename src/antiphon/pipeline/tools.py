"""From our tools to Pipecat's function calls."""

from collections.abc import Sequence

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams, LLMService

from antiphon.tools.base import Tool, ToolContext
from antiphon.tools.registry import call_tool

_GRACE_SECS = 2.0
"""Pipecat's own time-out is later than the tool's, so that ours gives the clear error."""


def tools_schema(tools: Sequence[Tool]) -> ToolsSchema:
    """The tools as the language model's context advertises them."""
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name=tool.name,
                description=tool.description,
                properties=dict(tool.parameters.get("properties", {})),
                required=list(tool.parameters.get("required", [])),
            )
            for tool in tools
        ]
    )


def register_tools(llm: LLMService, tools: Sequence[Tool], context: ToolContext) -> None:
    """Register every tool's handler on the language-model service."""
    for tool in tools:
        _register(llm, tool, context)


def _register(llm: LLMService, tool: Tool, context: ToolContext) -> None:
    async def handle(params: FunctionCallParams) -> None:
        result = await call_tool(tool, context, dict(params.arguments or {}))
        await params.result_callback(result)

    llm.register_function(
        tool.name,
        handle,
        # A half-done order must not be torn down because the caller coughed.
        cancel_on_interruption=not (tool.destructive or tool.outlives_interruption),
        timeout_secs=tool.timeout_s + _GRACE_SECS,
    )
