"""The shop: products, carts, orders and call-back requests in a SQLite database."""

from antiphon.tools.shop.toolset import ShopTools

__all__ = ["ShopTools"]
