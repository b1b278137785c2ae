"""The shop's tools on a real database in a temporary directory."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from antiphon.agents.loader import builtin_directory
from antiphon.errors import ConfigurationError, Unavailable
from antiphon.tools.base import Tool, ToolContext, ToolFailed
from antiphon.tools.registry import call_tool
from antiphon.tools.shop import ShopTools
from antiphon.tools.shop.catalogue import load_catalogue
from antiphon.tools.shop.store import ShopStore

CATALOGUE = builtin_directory() / "shop.catalogue.yaml"
ANNA = ToolContext("s1", "shop", "anna")
BEN = ToolContext("s2", "shop", "ben")


class Noon:
    """A clock that stands still."""

    def utc_now(self) -> datetime:
        return datetime(2026, 1, 2, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Shop:
    """The tools by name, called as a session calls them."""

    def __init__(self, tools: ShopTools):
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools.tools()}

    async def __call__(self, name: str, ctx: ToolContext = ANNA, **arguments: Any) -> Any:
        return await call_tool(self.tools[name], ctx, arguments)


@pytest.fixture
async def toolset(tmp_path: Path) -> AsyncIterator[ShopTools]:
    tools = ShopTools(tmp_path / "data" / "shop.sqlite3", CATALOGUE, Noon())
    await tools.open()
    yield tools
    await tools.close()


@pytest.fixture
def shop(toolset: ShopTools) -> Shop:
    return Shop(toolset)


async def test_a_new_cart_is_empty_and_an_empty_cart_cannot_be_ordered(shop: Shop):
    assert (await shop("view_cart"))["lines"] == []
    assert await shop("place_order") == {"ok": False, "error": "empty_cart"}


async def test_adding_twice_adds_up_with_the_total(shop: Shop):
    await shop("add_to_cart", product="blue mug", quantity=2)
    added = await shop("add_to_cart", product="Blue Mugs")
    assert (added["ok"], added["added"], added["in_cart"]) == (True, 1, 3)
    cart = await shop("view_cart")
    assert [(line["name"], line["quantity"]) for line in cart["lines"]] == [("blue mug", 3)]
    assert (cart["quantity"], cart["total_cents"], cart["currency"]) == (3, 2400, "USD")


@pytest.mark.parametrize("spoken", ["desk lamp", "Desk  Lamps", "LMP-DSK", "lmp-dsk", "desk-lamp"])
async def test_a_product_is_found_by_any_of_its_names(shop: Shop, spoken: str):
    assert (await shop("get_product", product=spoken))["sku"] == "LMP-DSK"


async def test_a_family_word_is_ambiguous_and_names_what_it_may_mean(shop: Shop):
    result = await shop("add_to_cart", product="mugs")
    assert result["error"] == "ambiguous_product"
    assert result["matches"] == ["blue mug", "red mug"]


async def test_what_is_in_the_cart_settles_which_one_to_remove(shop: Shop):
    await shop("add_to_cart", product="red mug", quantity=3)
    removed = await shop("remove_from_cart", product="mug", quantity=1)
    assert (removed["name"], removed["removed"], removed["in_cart"]) == ("red mug", 1, 2)
    assert (await shop("remove_from_cart", product="red mug"))["removed"] == 2
    assert (await shop("remove_from_cart", product="red mug"))["error"] == "not_in_cart"


async def test_an_unknown_product_is_data_not_an_exception(shop: Shop):
    result = await shop("get_product", product="elephant")
    assert result == {"ok": False, "error": "unknown_product", "product": "elephant"}


async def test_search_finds_by_category_and_description_and_limits_the_answer(shop: Shop):
    found = await shop("search_products", query="kitchen", max_results=2)
    assert (found["count"], len(found["products"])) == (5, 2)
    assert [p["sku"] for p in (await shop("search_products", query="fine nib"))["products"]] == [
        "PEN-FTN"
    ]
    assert (await shop("search_products", query="zebra"))["count"] == 0


async def test_more_than_the_stock_cannot_be_added(shop: Shop):
    await shop("add_to_cart", product="floor lamp", quantity=3)
    result = await shop("add_to_cart", product="floor lamp", quantity=2)
    assert result["error"] == "not_enough_stock"
    assert (result["available"], result["in_cart"]) == (4, 3)


async def test_an_order_takes_stock_and_cancelling_gives_it_back(shop: Shop):
    await shop("add_to_cart", product="floor lamp", quantity=4)
    order = await shop("place_order")
    assert (order["order_number"], order["status"], order["total_cents"]) == (
        "10001",
        "placed",
        23600,
    )
    assert order["placed_at"] == "2026-01-02T12:00:00+00:00"
    assert (await shop("view_cart"))["lines"] == []
    assert (await shop("get_product", product="floor lamp"))["stock"] == 0
    assert (await shop("cancel_order"))["status"] == "cancelled"
    assert (await shop("get_product", product="floor lamp"))["stock"] == 4
    again = await shop("cancel_order", order_number="10001")
    assert (again["error"], again["status"]) == ("not_cancellable", "cancelled")


async def test_two_callers_cannot_order_the_same_last_items(shop: Shop):
    for ctx in (ANNA, BEN):
        await shop("add_to_cart", ctx, product="floor lamp", quantity=3)
        await shop("add_to_cart", ctx, product="blue mug")
    results = await asyncio.gather(shop("place_order", ANNA), shop("place_order", BEN))
    assert sorted(r["ok"] for r in results) == [False, True]
    [failed] = [r for r in results if not r["ok"]]
    assert failed["error"] == "not_enough_stock"
    assert [(s["name"], s["available"]) for s in failed["shortages"]] == [("floor lamp", 1)]
    # The failed order took nothing: only the other one's mug is gone.
    assert (await shop("get_product", product="blue mug"))["stock"] == 39


async def test_a_caller_sees_only_their_own_cart_and_orders(shop: Shop):
    await shop("add_to_cart", ANNA, product="blue mug")
    assert (await shop("view_cart", BEN))["lines"] == []
    number = (await shop("place_order", ANNA))["order_number"]
    assert (await shop("order_status", BEN, order_number=number))["error"] == "unknown_order"
    assert (await shop("cancel_order", BEN))["error"] == "no_orders"
    assert (await shop("order_status", ANNA))["order_number"] == number
    assert (await shop("list_orders", ANNA))["count"] == 1


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("add_to_cart", {"product": "blue mug", "quantity": 0}, "quantity"),
        ("add_to_cart", {"product": "blue mug", "quantity": "two"}, "quantity"),
        ("add_to_cart", {}, "product"),
        ("order_status", {"order_number": "1; DROP TABLE orders"}, "order_number"),
        ("view_cart", {"caller": "ben"}, "caller"),
    ],
)
async def test_bad_arguments_are_refused_by_name(
    shop: Shop, name: str, arguments: dict[str, Any], field: str
):
    result = await shop(name, **arguments)
    assert result["error"] == "bad_arguments"
    assert field in result["problems"][0]
    with pytest.raises(ToolFailed, match="bad_arguments"):
        await shop.tools[name].handler(ANNA, arguments)


async def test_a_callback_is_noted_once_per_session(shop: Shop):
    first = await shop("request_callback", reason="a broken lamp")
    again = await shop("request_callback")
    assert first["callback_id"] == again["callback_id"]
    assert (first["already_requested"], again["already_requested"]) == (False, True)


async def test_every_destructive_tool_says_so(shop: Shop):
    destructive = {name for name, tool in shop.tools.items() if tool.destructive}
    assert destructive == {"place_order", "cancel_order", "clear_cart"}


async def test_the_database_survives_a_restart_and_is_seeded_once(tmp_path: Path):
    path = tmp_path / "shop.sqlite3"
    for _ in range(2):
        tools = ShopTools(path, CATALOGUE, Noon())
        await tools.open()
        await tools.open()  # harmless
        added = await Shop(tools)("add_to_cart", product="blue mug")
        await tools.close()
        await tools.close()
    assert added["in_cart"] == 2


async def test_products_of_the_database_are_what_can_be_said(toolset: ShopTools):
    lists = toolset.slot_lists()
    spoken = {(v.text, v.value) for v in lists["product"]}
    assert {("blue mugs", "blue mug"), ("mugs", "mug"), ("gloves", "pair of garden gloves")} <= (
        spoken
    )
    assert "kitchen" in {v.value for v in lists["category"]}


async def test_a_closed_shop_is_unavailable(tmp_path: Path):
    tools = ShopTools(tmp_path / "shop.sqlite3", CATALOGUE)
    view = next(tool for tool in tools.tools() if tool.name == "view_cart")
    with pytest.raises(Unavailable):
        await view.handler(ANNA, {})


async def test_a_bad_catalogue_is_reported_whole_and_leaves_the_shop_closed(tmp_path: Path):
    products = [
        {"sku": "A1", "name": "Big Mug!", "plural": "mugs", "category": "x", "price_cents": -1},
    ]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"products": products}))
    tools = ShopTools(tmp_path / "shop.sqlite3", path)
    with pytest.raises(ConfigurationError) as caught:
        await tools.open()
    fields = {problem.split(":")[0] for problem in caught.value.problems}
    assert {"products.0.name", "products.0.price_cents", "products.0.stock"} <= fields


def test_a_name_for_two_products_is_refused(tmp_path: Path):
    raw = yaml.safe_load(CATALOGUE.read_text())
    raw["products"][1]["aliases"] = ["blue mug"]
    path = tmp_path / "twice.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigurationError, match="more than once: blue mug"):
        load_catalogue(path)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path):
    path = tmp_path / "shop.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigurationError, match="schema 99"):
        ShopStore(path, load_catalogue(CATALOGUE))


BUYER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from antiphon.tools.base import ToolFailed
from antiphon.tools.shop.catalogue import load_catalogue
from antiphon.tools.shop.store import ShopStore

path, catalogue, caller = sys.argv[1:]
sys.stdin.readline()  # all buyers begin together
store = ShopStore(Path(path), load_catalogue(Path(catalogue)))
bought, reason = 0, None
while reason is None:
    try:
        store.add(caller, "coffee grinder", 1)
        store.place_order(caller, datetime(2026, 1, 2, tzinfo=UTC))
        bought += 1
    except ToolFailed as failure:
        reason = failure.reason
print(bought, reason)
"""


def test_several_processes_create_one_shop_and_sell_no_item_twice(tmp_path: Path):
    path = tmp_path / "shop.sqlite3"
    buyers = [
        subprocess.Popen(
            [sys.executable, "-c", BUYER, str(path), str(CATALOGUE), f"caller {i}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    for buyer in buyers:
        assert buyer.stdin is not None
        buyer.stdin.write("go\n")
        buyer.stdin.flush()
    outputs = [buyer.communicate(timeout=30)[0].split() for buyer in buyers]
    assert {reason for _, reason in outputs} == {"not_enough_stock"}
    assert sum(int(bought) for bought, _ in outputs) == 7
    store = ShopStore(path, load_catalogue(CATALOGUE))
    assert store.product("coffee grinder")["stock"] == 0
    store.close()
