"""The shop's database: blocking SQLite, one call one transaction, safe with several processes.

`ShopTools` runs these methods on a thread of its own. Every write begins with `BEGIN IMMEDIATE`,
so that stock is checked and taken atomically whoever else writes.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from antiphon.errors import ConfigurationError
from antiphon.tools.base import SlotValue, ToolFailed
from antiphon.tools.shop.catalogue import Catalogue

SCHEMA_VERSION = 1
FIRST_ORDER_NUMBER = 10_001
"""Order numbers have five digits, so that they can be spoken digit by digit."""
MAX_LINE_QUANTITY = 99
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plural TEXT NOT NULL,
    category TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
    stock INTEGER NOT NULL CHECK (stock >= 0),
    description TEXT NOT NULL DEFAULT ''
);
CREATE TABLE aliases (
    alias TEXT NOT NULL PRIMARY KEY,
    sku TEXT NOT NULL REFERENCES products (sku)
);
CREATE TABLE families (name TEXT PRIMARY KEY, plural TEXT NOT NULL);
CREATE TABLE cart_lines (
    caller TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (caller, sku)
);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    caller TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled')),
    total_cents INTEGER NOT NULL,
    placed_at TEXT NOT NULL,
    cancelled_at TEXT
);
CREATE INDEX orders_of_caller ON orders (caller, number);
CREATE TABLE order_lines (
    order_number INTEGER NOT NULL REFERENCES orders (number),
    sku TEXT NOT NULL REFERENCES products (sku),
    name TEXT NOT NULL,
    plural TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (order_number, sku)
);
CREATE TABLE callbacks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    caller TEXT NOT NULL,
    session_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    done_at TEXT
);
"""

_CART = """
SELECT p.sku, p.name, p.plural, c.quantity, p.price_cents
FROM cart_lines c JOIN products p USING (sku) WHERE c.caller = ? ORDER BY c.rowid
"""


class ShopStore:
    """Products, carts, orders and call-back requests. Not thread-safe: use from one thread.

    Args:
        path: The database file; created, with its directory, if it does not exist.
        catalogue: What a new database is filled with.
    """

    def __init__(self, path: Path, catalogue: Catalogue):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._create(catalogue)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- products -------------------------------------------------------------------------

    def search(self, query: str, max_results: int) -> dict[str, Any]:
        """Products whose name, aliases, category or description has every word of `query`."""
        words = [_stem(word) for word in _plain(query).split()]
        rows = self._all(
            "SELECT p.*, group_concat(a.alias, ' ') AS aliases FROM products p "
            "LEFT JOIN aliases a USING (sku) GROUP BY p.sku ORDER BY p.category, p.name"
        )
        found = [row for row in rows if all(word in _search_text(row) for word in words)]
        return {
            "ok": True,
            "query": query,
            "count": len(found),
            "products": [_product(row) for row in found[:max_results]],
            "categories": sorted({row["category"] for row in rows}),
        }

    def product(self, product: str) -> dict[str, Any]:
        """One product.

        Raises:
            ToolFailed: `unknown_product` or `ambiguous_product`.
        """
        return {"ok": True, **_product(self._find(product))}

    def spoken_products(self) -> list[SlotValue]:
        """Every way to say every product or family."""
        rows = self._all(
            "SELECT name AS text, name AS value FROM products "
            "UNION SELECT plural, name FROM products "
            "UNION SELECT alias, name FROM aliases JOIN products USING (sku) "
            "UNION SELECT name, name FROM families "
            "UNION SELECT plural, name FROM families"
        )
        return [SlotValue(row["text"], row["value"]) for row in rows]

    def spoken_categories(self) -> list[SlotValue]:
        """Every category."""
        rows = self._all("SELECT DISTINCT category FROM products ORDER BY category")
        return [SlotValue(row["category"], row["category"]) for row in rows]

    # -- the cart -------------------------------------------------------------------------

    def cart(self, caller: str) -> dict[str, Any]:
        """What the caller has in the cart."""
        lines = [dict(row) for row in self._all(_CART, caller)]
        return {
            "ok": True,
            "lines": lines,
            "quantity": sum(line["quantity"] for line in lines),
            "total_cents": sum(line["quantity"] * line["price_cents"] for line in lines),
            "currency": self._currency(),
        }

    def add(self, caller: str, product: str, quantity: int) -> dict[str, Any]:
        """Put `quantity` more of a product into the cart.

        Raises:
            ToolFailed: `unknown_product`, `ambiguous_product`, `not_enough_stock` (with
                `available`, the number still to be had) or `too_many`.
        """
        with self._writing():
            row = self._find(product)
            held = self._quantity(caller, row["sku"])
            if held + quantity > row["stock"]:
                raise ToolFailed(
                    "not_enough_stock",
                    **_names(row),
                    requested=quantity,
                    available=row["stock"],
                    in_cart=held,
                )
            if held + quantity > MAX_LINE_QUANTITY:
                raise ToolFailed("too_many", **_names(row), limit=MAX_LINE_QUANTITY, in_cart=held)
            self._db.execute(
                "INSERT INTO cart_lines (caller, sku, quantity) VALUES (?, ?, ?) "
                "ON CONFLICT (caller, sku) DO UPDATE SET quantity = quantity + excluded.quantity",
                (caller, row["sku"], quantity),
            )
            cart = self.cart(caller)
        return {
            **_names(row),
            "added": quantity,
            "in_cart": held + quantity,
            "cart_quantity": cart["quantity"],
            **_total(cart),
        }

    def remove(self, caller: str, product: str, quantity: int | None) -> dict[str, Any]:
        """Take `quantity` of a product, or all of it, out of the cart.

        Raises:
            ToolFailed: `unknown_product`, `ambiguous_product` or `not_in_cart`.
        """
        with self._writing():
            row = self._find(product, among=[line["sku"] for line in self.cart(caller)["lines"]])
            held = self._quantity(caller, row["sku"])
            if not held:
                raise ToolFailed("not_in_cart", **_names(row))
            removed = held if quantity is None else min(held, quantity)
            if removed == held:
                self._db.execute(
                    "DELETE FROM cart_lines WHERE caller = ? AND sku = ?", (caller, row["sku"])
                )
            else:
                self._db.execute(
                    "UPDATE cart_lines SET quantity = quantity - ? WHERE caller = ? AND sku = ?",
                    (removed, caller, row["sku"]),
                )
            cart = self.cart(caller)
        return {
            **_names(row),
            "removed": removed,
            "in_cart": held - removed,
            "cart_quantity": cart["quantity"],
            **_total(cart),
        }

    def clear(self, caller: str) -> dict[str, Any]:
        """Empty the cart."""
        with self._writing():
            removed = self.cart(caller)["quantity"]
            self._db.execute("DELETE FROM cart_lines WHERE caller = ?", (caller,))
        return {"ok": True, "removed": removed}

    # -- orders ---------------------------------------------------------------------------

    def place_order(self, caller: str, now: datetime) -> dict[str, Any]:
        """Turn the cart into an order and take its items out of stock, or do nothing.

        Raises:
            ToolFailed: `empty_cart`, or `not_enough_stock` with the `shortages`.
        """
        with self._writing():
            cart = self.cart(caller)
            if not cart["lines"]:
                raise ToolFailed("empty_cart")
            self._take_stock(cart["lines"])
            number = self._db.execute(
                "INSERT INTO orders (caller, status, total_cents, placed_at) VALUES (?, ?, ?, ?)",
                (caller, "placed", cart["total_cents"], now.isoformat()),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO order_lines "
                "VALUES (:number, :sku, :name, :plural, :quantity, :price_cents)",
                [{"number": number, **line} for line in cart["lines"]],
            )
            self._db.execute("DELETE FROM cart_lines WHERE caller = ?", (caller,))
            row = self._one("SELECT * FROM orders WHERE number = ?", number)
            return {"ok": True, **self._order(row)}

    def order(self, caller: str, number: str | None) -> dict[str, Any]:
        """One order of the caller, the latest if no number is given.

        Raises:
            ToolFailed: `no_orders` or `unknown_order`.
        """
        return {"ok": True, **self._order(self._find_order(caller, number))}

    def orders(self, caller: str, max_results: int) -> dict[str, Any]:
        """The caller's newest orders, newest first."""
        rows = self._all("SELECT * FROM orders WHERE caller = ? ORDER BY number DESC", caller)
        newest = [self._order(row) for row in rows[:max_results]]
        return {"ok": True, "count": len(rows), "orders": newest}

    def cancel_order(self, caller: str, number: str | None, now: datetime) -> dict[str, Any]:
        """Cancel an order, the latest if no number is given, and restore its stock.

        Raises:
            ToolFailed: `no_orders`, `unknown_order`, or `not_cancellable` with the order's status.
        """
        with self._writing():
            row = self._find_order(caller, number)
            if row["status"] != "placed":
                raise ToolFailed(
                    "not_cancellable", order_number=str(row["number"]), status=row["status"]
                )
            self._db.execute(
                "UPDATE orders SET status = 'cancelled', cancelled_at = ? WHERE number = ?",
                (now.isoformat(), row["number"]),
            )
            self._db.execute(
                "UPDATE products SET stock = stock + l.quantity FROM order_lines l "
                "WHERE l.sku = products.sku AND l.order_number = ?",
                (row["number"],),
            )
            row = self._one("SELECT * FROM orders WHERE number = ?", row["number"])
            return {"ok": True, **self._order(row)}

    # -- call-backs -----------------------------------------------------------------------

    def request_callback(
        self, caller: str, session_id: str, reason: str, now: datetime
    ) -> dict[str, Any]:
        """Note that a person shall call back; asking again in the same session changes nothing."""
        with self._writing():
            row = self._one(
                "SELECT id FROM callbacks WHERE session_id = ? AND done_at IS NULL", session_id
            )
            number = row["id"] if row else None
            if number is None:
                number = self._db.execute(
                    "INSERT INTO callbacks (caller, session_id, reason, requested_at) "
                    "VALUES (?, ?, ?, ?)",
                    (caller, session_id, reason, now.isoformat()),
                ).lastrowid
        return {"ok": True, "callback_id": number, "already_requested": row is not None}

    # -- inside ---------------------------------------------------------------------------

    def _create(self, catalogue: Catalogue) -> None:
        with self._writing():
            version = self._one("PRAGMA user_version")["user_version"]
            if version == SCHEMA_VERSION:
                return
            if version:
                raise ConfigurationError(
                    [f"has schema {version}, this version knows {SCHEMA_VERSION}: move it away"],
                    source="shop database",
                )
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            self._seed(catalogue)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _seed(self, catalogue: Catalogue) -> None:
        self._db.execute("INSERT INTO settings VALUES ('currency', ?)", (catalogue.currency,))
        self._db.executemany(
            "INSERT INTO products VALUES "
            "(:sku, :name, :plural, :category, :price_cents, :stock, :description)",
            [product.model_dump(exclude={"aliases"}) for product in catalogue.products],
        )
        self._db.executemany(
            "INSERT INTO aliases VALUES (?, ?)",
            [(alias, product.sku) for product in catalogue.products for alias in product.aliases],
        )
        self._db.executemany(
            "INSERT INTO families VALUES (?, ?)", [(f.name, f.plural) for f in catalogue.families]
        )
        self._db.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('orders', ?)",
            (FIRST_ORDER_NUMBER - 1,),
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _currency(self) -> str:
        return str(self._one("SELECT value FROM settings WHERE name = 'currency'")["value"])

    def _quantity(self, caller: str, sku: str) -> int:
        row = self._one("SELECT quantity FROM cart_lines WHERE caller = ? AND sku = ?", caller, sku)
        return int(row["quantity"]) if row else 0

    def _find(self, product: str, among: Sequence[str] = ()) -> sqlite3.Row:
        """The product meant; `among` SKUs settle what would be ambiguous."""
        name = _plain(product)
        exact = self._all(
            "SELECT DISTINCT p.* FROM products p LEFT JOIN aliases a USING (sku) "
            "WHERE p.sku = ? OR p.name = ? OR p.plural = ? OR a.alias = ?",
            product.strip().upper(),
            name,
            name,
            name,
        )
        rows = exact or self._having_words(name)
        if among and len(rows) > 1:
            rows = [row for row in rows if row["sku"] in among] or rows
        if not rows:
            raise ToolFailed("unknown_product", product=product)
        if len(rows) > 1:
            matches = [_names(row)["name"] for row in rows[:5]]
            raise ToolFailed("ambiguous_product", product=product, matches=matches)
        return rows[0]

    def _having_words(self, name: str) -> list[sqlite3.Row]:
        words = {_stem(word) for word in name.split()}
        rows = self._all("SELECT * FROM products ORDER BY name")
        return [row for row in rows if words and words <= {_stem(w) for w in row["name"].split()}]

    def _take_stock(self, lines: Sequence[dict[str, Any]]) -> None:
        shortages = []
        for line in lines:
            taken = self._db.execute(
                "UPDATE products SET stock = stock - :quantity "
                "WHERE sku = :sku AND stock >= :quantity",
                line,
            ).rowcount
            if not taken:
                row = self._one("SELECT * FROM products WHERE sku = ?", line["sku"])
                shortages.append(
                    {**_names(row), "requested": line["quantity"], "available": row["stock"]}
                )
        if shortages:
            raise ToolFailed("not_enough_stock", shortages=shortages)

    def _find_order(self, caller: str, number: str | None) -> Any:
        if number is None:
            row = self._one(
                "SELECT * FROM orders WHERE caller = ? ORDER BY number DESC LIMIT 1", caller
            )
            if row is None:
                raise ToolFailed("no_orders")
            return row
        row = self._one("SELECT * FROM orders WHERE caller = ? AND number = ?", caller, int(number))
        if row is None:
            raise ToolFailed("unknown_order", order_number=number)
        return row

    def _order(self, row: Any) -> dict[str, Any]:
        lines = self._all(
            "SELECT sku, name, plural, quantity, price_cents FROM order_lines "
            "WHERE order_number = ? ORDER BY rowid",
            row["number"],
        )
        return {
            "order_number": str(row["number"]),
            "status": row["status"],
            "placed_at": row["placed_at"],
            "lines": [dict(line) for line in lines],
            "quantity": sum(line["quantity"] for line in lines),
            "total_cents": row["total_cents"],
            "currency": self._currency(),
        }


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("-", " ").split())


def _stem(word: str) -> str:
    """Good enough to find "mugs" by "mug" and the other way round in an English catalogue."""
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _search_text(row: sqlite3.Row) -> str:
    parts = (row["name"], row["plural"], row["category"], row["description"], row["aliases"])
    return " ".join(part for part in parts if part)


def _names(row: Any) -> dict[str, Any]:
    return {"sku": row["sku"], "name": row["name"], "plural": row["plural"]}


def _product(row: Any) -> dict[str, Any]:
    keys = ("sku", "name", "plural", "category", "price_cents", "stock", "description")
    return {key: row[key] for key in keys}


def _total(cart: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "total_cents": cart["total_cents"], "currency": cart["currency"]}
