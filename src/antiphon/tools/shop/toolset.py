"""The shop's tools: what a language model may do with the shop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiphon.clock import Clock, SystemClock
from antiphon.errors import Unavailable
from antiphon.tools.base import SlotValue, Tool, ToolContext, ToolFailed
from antiphon.tools.shop.catalogue import load_catalogue
from antiphon.tools.shop.store import MAX_LINE_QUANTITY, ShopStore

DATABASE_NAME = "shop.sqlite3"

T = TypeVar("T")
ProductName = Annotated[
    str,
    Field(min_length=1, max_length=100, description="Name or SKU of a product, e.g. 'blue mug'."),
]
OrderNumber = Annotated[str, Field(pattern=r"^\d{5}$", description="Five digits, e.g. '10023'.")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SearchArguments(_Arguments):
    """Arguments of `search_products`."""

    query: str = Field(
        "", max_length=100, description="Words in name, category or description; empty: all."
    )
    max_results: int = Field(5, ge=1, le=50)


class ProductArguments(_Arguments):
    """Arguments of `get_product`."""

    product: ProductName


class AddArguments(ProductArguments):
    """Arguments of `add_to_cart`."""

    quantity: int = Field(1, ge=1, le=MAX_LINE_QUANTITY)


class RemoveArguments(ProductArguments):
    """Arguments of `remove_from_cart`."""

    quantity: int | None = Field(
        None, ge=1, le=MAX_LINE_QUANTITY, description="How many to take out; without it: all."
    )


class NoArguments(_Arguments):
    """For tools without arguments."""


class OrderArguments(_Arguments):
    """Arguments of `order_status` and `cancel_order`."""

    order_number: OrderNumber | None = Field(None, description="Without it: the latest order.")


class ListArguments(_Arguments):
    """Arguments of `list_orders`."""

    max_results: int = Field(5, ge=1, le=50)


class CallbackArguments(_Arguments):
    """Arguments of `request_callback`."""

    reason: str = Field("", max_length=500, description="What the caller wants to talk about.")


class ShopTools:
    """Tool set `shop`: search, cart, orders and call-back requests of the calling customer.

    The database lives in one file, created and filled from the catalogue on first use. All of its
    work runs on one thread, so the event loop never waits for the disk.

    Args:
        database: Path of the SQLite file.
        catalogue: Path of the YAML file that a new database is filled from.
        clock: Where the times of orders come from.
    """

    name = "shop"

    def __init__(self, database: Path, catalogue: Path, clock: Clock | None = None):
        self._database = database
        self._catalogue = catalogue
        self._clock = clock or SystemClock()
        self._store: ShopStore | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._slots: dict[str, Sequence[SlotValue]] = {}

    async def open(self) -> None:
        """Open the database; create and fill it first if it is new. Opening twice is harmless.

        Raises:
            ConfigurationError: The catalogue or the database cannot be used.
            sqlite3.Error: The database cannot be opened or created.
        """
        if self._store is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shop")
        try:
            self._store = await self._in_thread(
                lambda: ShopStore(self._database, load_catalogue(self._catalogue))
            )
            self._slots = {
                "product": await self._run(ShopStore.spoken_products),
                "category": await self._run(ShopStore.spoken_categories),
            }
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the database and end the thread."""
        store, self._store = self._store, None
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(thread, store.close)
        thread.shutdown(wait=False)

    def slot_lists(self) -> Mapping[str, Sequence[SlotValue]]:
        """`product` and `category`, as the database had them when it was opened."""
        return self._slots

    def tools(self) -> Sequence[Tool]:
        """The shop's tools, for any language model."""
        return (
            _tool(
                "search_products",
                "Find products by words in their name, category or description.",
                SearchArguments,
                lambda _, a: self._run(ShopStore.search, a.query, a.max_results),
            ),
            _tool(
                "get_product",
                "Price, stock and description of one product.",
                ProductArguments,
                lambda _, a: self._run(ShopStore.product, a.product),
            ),
            _tool(
                "view_cart",
                "What is in the caller's cart, with the total.",
                NoArguments,
                lambda ctx, _: self._run(ShopStore.cart, ctx.caller),
            ),
            _tool(
                "add_to_cart",
                "Add a product to the caller's cart.",
                AddArguments,
                lambda ctx, a: self._run(ShopStore.add, ctx.caller, a.product, a.quantity),
            ),
            _tool(
                "remove_from_cart",
                "Take a product out of the caller's cart.",
                RemoveArguments,
                lambda ctx, a: self._run(ShopStore.remove, ctx.caller, a.product, a.quantity),
            ),
            _tool(
                "clear_cart",
                "Take everything out of the caller's cart. Ask the caller for a yes first.",
                NoArguments,
                lambda ctx, _: self._run(ShopStore.clear, ctx.caller),
                destructive=True,
            ),
            *self._order_tools(),
            _tool(
                "request_callback",
                "Note that a person shall call the caller back.",
                CallbackArguments,
                self.request_callback,
            ),
        )

    def _order_tools(self) -> Sequence[Tool]:
        return (
            _tool(
                "place_order",
                "Order everything in the caller's cart. Ask the caller for a yes first.",
                NoArguments,
                lambda ctx, _: self._run(ShopStore.place_order, ctx.caller, self._clock.utc_now()),
                destructive=True,
            ),
            _tool(
                "order_status",
                "Status and items of one of the caller's orders.",
                OrderArguments,
                lambda ctx, a: self._run(ShopStore.order, ctx.caller, a.order_number),
            ),
            _tool(
                "list_orders",
                "The caller's orders, newest first.",
                ListArguments,
                lambda ctx, a: self._run(ShopStore.orders, ctx.caller, a.max_results),
            ),
            _tool(
                "cancel_order",
                "Cancel one of the caller's orders. Ask the caller for a yes first.",
                OrderArguments,
                lambda ctx, a: self._run(
                    ShopStore.cancel_order, ctx.caller, a.order_number, self._clock.utc_now()
                ),
                destructive=True,
            ),
        )

    async def request_callback(
        self, ctx: ToolContext, arguments: CallbackArguments
    ) -> dict[str, Any]:
        """Note that a person shall call back; also what a failed transfer falls back to."""
        return await self._run(
            ShopStore.request_callback,
            ctx.caller,
            ctx.session_id,
            arguments.reason,
            self._clock.utc_now(),
        )

    async def _run(self, method: Callable[..., T], *args: Any) -> T:
        store = self._store
        if store is None:
            raise Unavailable("the shop's database is not open")
        return await self._in_thread(lambda: method(store, *args))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


A = TypeVar("A", bound=BaseModel)


def _tool(
    name: str,
    description: str,
    model: type[A],
    handler: Callable[[ToolContext, A], Awaitable[dict[str, Any]]],
    *,
    destructive: bool = False,
) -> Tool:
    async def call(ctx: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            checked = model.model_validate(arguments)
        except ValidationError as exc:
            raise ToolFailed("bad_arguments", problems=_problems(exc)) from exc
        return await handler(ctx, checked)

    return Tool(
        name=name,
        description=description,
        parameters=_schema(model),
        handler=call,
        destructive=destructive,
    )


def _problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema without what only people read, to save the model's tokens."""
    schema = model.model_json_schema()
    properties = schema.get("properties", {})
    for entry in properties.values():
        entry.pop("title", None)
    return {
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []),
        "additionalProperties": False,
    }
