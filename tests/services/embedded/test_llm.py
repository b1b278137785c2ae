"""Text conversations through a real Pipecat pipeline, with the real tools on a real database."""

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.runner import WorkerRunner

from antiphon.agents.loader import AgentStore
from antiphon.pipeline.tools import register_tools, tools_schema
from antiphon.services.embedded.dialogue import Dialogue
from antiphon.services.embedded.llm import EmbeddedLLMService
from antiphon.services.embedded.replies import Replies, ReplyFile
from antiphon.services.embedded.sentences import SentenceSet
from antiphon.tools.base import Tool, ToolContext
from antiphon.tools.call import CallTools
from antiphon.tools.registry import build_toolsets

Dial = Callable[..., Any]


class Tap(FrameProcessor):
    """What leaves the language model, as the text-to-speech service would get it."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.chunks: list[str] = []
        self.starts = self.ends = 0
        self.metrics: list[Any] = []
        self.interrupted = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        match frame:
            case LLMFullResponseStartFrame():
                self.starts += 1
                self.chunks = []
            case LLMTextFrame():
                self.chunks.append(frame.text)
            case MetricsFrame():
                self.metrics += frame.data
            case InterruptionFrame():
                self.interrupted.set()
        await self.push_frame(frame, direction)
        if isinstance(frame, LLMFullResponseEndFrame):
            self.ends += 1
            if self.chunks:
                self.answers.put_nowait("".join(self.chunks).strip())


class Call:
    """One caller typing to the agent."""

    def __init__(self, worker: PipelineWorker, tap: Tap, context: LLMContext, ended: list[str]):
        self.worker = worker
        self.tap = tap
        self.context = context
        self.ended = ended

    async def say(self, text: str) -> None:
        message: Any = {"role": "user", "content": text}
        await self.worker.queue_frame(LLMMessagesAppendFrame(messages=[message], run_llm=True))

    async def answer(self) -> str:
        async with asyncio.timeout(5):
            return await self.tap.answers.get()

    async def ask(self, text: str) -> str:
        await self.say(text)
        return await self.answer()

    @property
    def tool_calls(self) -> list[tuple[str, dict[str, Any]]]:
        functions = [
            call["function"]
            for message in self.context.get_messages()
            if isinstance(message, dict)
            for call in message.get("tool_calls") or ()
        ]
        return [(f["name"], json.loads(f["arguments"])) for f in functions]


@pytest.fixture
async def dial(tmp_path: Path) -> AsyncIterator[Dial]:
    """Opens calls to the shop agent, all on one database."""
    agent = AgentStore().get("shop")
    toolsets = build_toolsets(agent.definition.tools, data_dir=tmp_path)
    for toolset in toolsets:
        await toolset.open()
    assert agent.sentences_path is not None
    assert agent.responses_path is not None
    lists = {name: values for t in toolsets for name, values in t.slot_lists().items()}
    sentences = SentenceSet.load(agent.sentences_path, lists)

    @asynccontextmanager
    async def call(
        caller: str = "anna",
        change: Callable[[Tool], Tool] = lambda tool: tool,
        messages: list[Any] | None = None,
    ) -> AsyncIterator[Call]:
        ended: list[str] = []

        async def end(_: ToolContext, reason: str) -> None:
            ended.append(reason)

        [shop] = toolsets
        callback = next(t for t in shop.tools() if t.name == "request_callback")

        async def take(ctx: ToolContext, reason: str) -> dict[str, Any]:
            return await callback.handler(ctx, {"reason": reason})

        per_call = CallTools(end, take_callback=take)
        tools = [change(tool) for s in (shop, per_call) for tool in s.tools()]
        dialogue = Dialogue.load(sentences, agent.responses_path, {tool.name for tool in tools})
        llm = EmbeddedLLMService(dialogue=dialogue)
        register_tools(llm, tools, ToolContext(f"session of {caller}", "shop", caller))
        prompt: Any = {"role": "system", "content": agent.definition.prompt}
        context = LLMContext(messages=[prompt, *(messages or [])], tools=tools_schema(tools))
        aggregators = LLMContextAggregatorPair(context)
        tap = Tap()
        worker = PipelineWorker(
            Pipeline([aggregators.user(), llm, tap, aggregators.assistant()]),
            params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
            idle_timeout_secs=None,
            enable_rtvi=False,
        )
        runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
        await runner.add_workers(worker)
        async with asyncio.TaskGroup() as group:
            group.create_task(runner.run())
            try:
                yield Call(worker, tap, context, ended)
            finally:
                await worker.cancel()

    yield call
    for toolset in toolsets:
        await toolset.close()


async def test_the_acceptance_call(dial: Dial):
    async with dial() as call:
        assert (await call.ask("what is in my cart")).startswith("Your cart is empty.")
        assert await call.ask("add two blue mugs to my cart") == (
            "I added two blue mugs. The total is sixteen dollars."
        )
        assert await call.ask("place the order") == (
            "You are about to order two blue mugs for sixteen dollars. Shall I place the order?"
        )
        assert await call.ask("yes") == (
            "Thank you, your order is placed. The order number is one zero zero zero one. "
            "The total is sixteen dollars."
        )
        assert [name for name, _ in call.tool_calls] == [
            "view_cart",
            "add_to_cart",
            "view_cart",
            "place_order",
        ]
        assert call.tool_calls[1][1] == {"product": "blue mug", "quantity": 2}
        assert (await call.ask("what's in my cart?")).startswith("Your cart is empty.")
        assert "ten thousand" not in await call.ask("Where is order #10001?")


async def test_a_no_places_nothing(dial: Dial):
    async with dial() as call:
        await call.ask("add a desk lamp")
        await call.ask("place the order")
        assert (await call.ask("no")).startswith("Okay, I did not place the order.")
        assert await call.ask("yes") != "Thank you, your order is placed."
        assert "place_order" not in dict(call.tool_calls)
        assert "one desk lamp" in await call.ask("what is in my cart")


async def test_clearing_and_cancelling_are_confirmed_too(dial: Dial):
    async with dial() as call:
        await call.ask("add a desk lamp")
        assert "Do you really want to empty it?" in await call.ask("clear my cart")
        assert await call.ask("yes") == "Your cart is empty now."
        await call.ask("add a red mug")
        await call.ask("place the order")
        await call.ask("yes")
        assert "Do you really want to cancel it?" in await call.ask("cancel my order")
        assert await call.ask("go ahead") == "Your order one zero zero zero one is cancelled."
        assert "already cancelled" in await call.ask("cancel order 10001")


@pytest.mark.parametrize("text", ["sing me a song", "[unclear] place the order", "asdf", "..."])
async def test_what_is_not_understood_does_nothing_and_says_what_can_be_said(dial: Dial, text: str):
    async with dial() as call:
        answer = await call.ask(text)
        assert answer.startswith("Sorry, I did not understand. You can say")
        assert call.tool_calls == []


async def test_stock_that_runs_out_is_explained(dial: Dial):
    async with dial("anna") as anna, dial("ben") as ben:
        assert await anna.ask("add five floor lamps") == "Sorry, we only have four floor lamps."
        for caller in (anna, ben):
            await caller.ask("add three floor lamps")
            await caller.ask("place the order")
        answers = await asyncio.gather(anna.ask("yes"), ben.ask("yes"))
        assert sorted(answer.split(",")[0] for answer in answers) == [
            "Sorry",
            "Thank you",
        ]
        [sorry] = [a for a in answers if a.startswith("Sorry")]
        assert sorry == "Sorry, I could not place the order. We only have one floor lamp left."


async def test_two_callers_have_their_own_carts(dial: Dial):
    async with dial("anna") as anna, dial("ben") as ben:
        answers = await asyncio.gather(anna.ask("add two blue mugs"), ben.ask("add a steel kettle"))
        assert ["two blue mugs" in answers[0], "one steel kettle" in answers[1]] == [True, True]
        assert "kettle" not in await anna.ask("what is in my cart")
        assert "mug" not in await ben.ask("what is in my cart")


async def test_which_product_is_asked_and_the_answer_completes_the_request(dial: Dial):
    async with dial() as call:
        question = "Which one do you mean: the blue mug or the red mug?"
        assert await call.ask("add three mugs") == question
        assert (await call.ask("the red mug")).startswith("I added three red mugs.")


async def test_a_person_who_cannot_be_had_calls_back(dial: Dial, tmp_path: Path):
    async with dial() as call:
        assert "a person will call you back" in await call.ask("talk to a human")
        assert call.tool_calls[0][0] == "transfer_to_human"
    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as database:
        rows = database.execute("SELECT caller, session_id, reason FROM callbacks").fetchall()
    assert rows == [("anna", "session of anna", "the caller asked for a person")]


async def test_goodbye_ends_the_call_with_a_goodbye(dial: Dial):
    async with dial() as call:
        assert await call.ask("goodbye") == "Thank you for calling. Goodbye."
        assert call.ended == ["the caller said goodbye"]


@contextmanager
def replaced(name: str, **changes: Any) -> Iterator[Callable[[Tool], Tool]]:
    """A change of one tool."""
    yield lambda tool: dataclasses.replace(tool, **changes) if tool.name == name else tool


async def test_a_tool_that_crashes_gets_an_apology_and_the_call_goes_on(dial: Dial):
    async def crash(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("disk on fire")

    with replaced("view_cart", handler=crash) as change:
        async with dial(change=change) as call:
            assert await call.ask("what is in my cart") == (
                "Sorry, that did not work. Please try again."
            )
            assert (await call.ask("add a blue mug")).startswith("I added one blue mug.")


async def test_a_tool_that_hangs_is_given_up(dial: Dial):
    async def hang(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    with replaced("view_cart", handler=hang, timeout_s=0.02) as change:
        async with dial(change=change) as call:
            assert (await call.ask("what is in my cart")).startswith("Sorry, that took too long.")


async def test_an_interrupted_tool_is_forgotten_for_the_next_request(dial: Dial):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: ToolContext, __: dict[str, Any]) -> dict[str, Any]:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    with replaced("search_products", handler=hang) as change:
        async with dial(change=change) as call:
            await call.say("what do you sell")
            await asyncio.wait_for(started.wait(), 5)
            await call.worker.queue_frame(InterruptionFrame())
            await asyncio.wait_for(cancelled.wait(), 5)
            assert (await call.ask("what is in my cart")).startswith("Your cart is empty.")


async def test_a_destructive_tool_survives_an_interruption_and_is_reported(dial: Dial):
    started, go_on = asyncio.Event(), asyncio.Event()
    inner: list[Callable[..., Awaitable[dict[str, Any]]]] = []

    async def slowly(ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        started.set()
        await go_on.wait()
        return await inner[0](ctx, arguments)

    def change(tool: Tool) -> Tool:
        if tool.name != "place_order":
            return tool
        inner.append(tool.handler)
        with replaced("place_order", handler=slowly) as slow:
            return slow(tool)

    async with dial(change=change) as call:
        await call.ask("add a blue mug")
        await call.ask("place the order")
        await call.say("yes")
        await asyncio.wait_for(started.wait(), 5)
        await call.worker.queue_frame(InterruptionFrame())
        await asyncio.wait_for(call.tap.interrupted.wait(), 5)
        assert "desk lamp costs" in await call.ask("how much is the desk lamp")
        go_on.set()
        assert "The order number is one zero zero zero one." in await call.answer()


async def test_a_resumed_conversation_goes_on_where_it_was(dial: Dial):
    async with dial() as first:
        await first.ask("add a blue mug")
        question = await first.ask("place the order")
        kept = [*first.context.get_messages()[1:], {"role": "assistant", "content": question}]
    resumed = [*kept, {"role": "assistant", "content": "Sorry, we were cut off."}]
    async with dial(messages=resumed) as second:
        assert (await second.ask("yes")).startswith("Thank you, your order is placed.")


async def test_a_tool_that_is_not_registered_gets_an_apology(dial: Dial):
    async with dial() as call:
        call_llm = next(p for p in _processors(call.worker) if isinstance(p, EmbeddedLLMService))
        call_llm.unregister_function("view_cart")
        assert (await call.ask("what is in my cart")).startswith("Sorry, that did not work.")


def _processors(worker: PipelineWorker) -> Iterator[FrameProcessor]:
    waiting: list[Any] = [worker.pipeline]
    while waiting:
        processor = waiting.pop()
        yield processor
        waiting += getattr(processor, "processors", [])


async def test_answers_leave_sentence_by_sentence_between_start_and_end(dial: Dial):
    async with dial() as call:
        await call.ask("add a blue mug")
        assert call.tap.chunks == ["I added one blue mug. ", "The total is eight dollars. "]
        assert call.tap.starts == call.tap.ends == 2, "the tool call and the answer"


async def test_metrics_are_those_of_any_language_model(dial: Dial):
    async with dial() as call:
        await call.ask("help")
        await call.ask("help")
        kinds = {type(metric).__name__ for metric in call.tap.metrics if metric.model}
        assert {"TTFBMetricsData", "ProcessingMetricsData", "LLMUsageMetricsData"} <= kinds


async def test_an_out_of_band_inference_says_but_never_acts(dial: Dial):
    async with dial() as call:
        llm = next(p for p in _processors(call.worker) if isinstance(p, EmbeddedLLMService))

        def after(text: str) -> LLMContext:
            message: Any = {"role": "user", "content": text}
            return LLMContext(messages=[message])

        assert (await llm.run_inference(after("hello"))) == "Hello. How can I help you?"
        assert (await llm.run_inference(after("what is in my cart"))) is None
        assert call.tool_calls == []


async def test_handlers_may_be_registered_as_on_any_language_model():
    llm = EmbeddedLLMService(dialogue=_tiny())

    async def handler(params: FunctionCallParams) -> None:
        await params.result_callback({"ok": True})

    llm.register_function("anything", handler)
    assert llm.has_function("anything")


def _tiny() -> Dialogue:
    data = {name: {"data": [{"sentences": [name.lower()]}]} for name in ("Affirm", "Deny")}
    replies = {
        "affirm": "Affirm",
        "deny": "Deny",
        "fallback": ["?"],
        "ask_again": "?",
        "errors": {"default": "!"},
        "intents": {"Affirm": {"say": "a"}, "Deny": {"say": "b"}},
    }
    return Dialogue(
        SentenceSet.from_dict({"language": "en", "intents": data}),
        Replies(ReplyFile.model_validate(replies)),
    )
