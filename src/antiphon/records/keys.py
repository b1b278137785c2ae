"""API keys: made at random, kept as hashes.

A key holds 256 random bits, so a plain SHA-256 of it cannot be searched. Slow hashes are for
passwords that people choose; here they would only cost every request.
"""

import hashlib
import secrets
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from antiphon.records.database import writing
from antiphon.records.rows import clean
from antiphon.records.schema import api_keys

KEY_PREFIX = "antiphon_"
SHOWN_CHARS = 14
"""Characters of a key that lists show: the prefix and five of the secret."""

USE_NOTED_EVERY = timedelta(seconds=60)
"""`last_used_at` is no finer than this, so that reading requests seldom write."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key without its secret."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = [api_keys.c[field.name] for field in fields(KeyRecord)]


async def create_key(engine: AsyncEngine, name: str, now: datetime) -> tuple[str, str]:
    """Make a key; returns its id and its text, which is not kept."""
    key_id, secret = secrets.token_hex(8), KEY_PREFIX + secrets.token_urlsafe(32)
    async with writing(engine).begin() as connection:
        await connection.execute(
            sa.insert(api_keys).values(
                id=key_id,
                name=clean(name)[:200],
                prefix=secret[:SHOWN_CHARS],
                hash=_hash(secret),
                created_at=now,
            )
        )
    return key_id, secret


async def list_keys(engine: AsyncEngine) -> list[KeyRecord]:
    """All keys, oldest first, revoked ones too."""
    query = sa.select(*_COLUMNS).order_by(api_keys.c.created_at, api_keys.c.id)
    async with engine.connect() as connection:
        return [_record(row) for row in await connection.execute(query)]


async def revoke_key(engine: AsyncEngine, key_id: str, now: datetime) -> bool:
    """Revoke a key; False when there is no such valid key."""
    valid = sa.and_(api_keys.c.id == clean(key_id), api_keys.c.revoked_at.is_(None))
    async with writing(engine).begin() as connection:
        result = await connection.execute(sa.update(api_keys).where(valid).values(revoked_at=now))
    return bool(result.rowcount)


async def find_key(engine: AsyncEngine, plaintext: str, now: datetime) -> KeyRecord | None:
    """The valid key with this text, its use noted; None when there is none."""
    if not plaintext.startswith(KEY_PREFIX):
        return None
    valid = sa.and_(api_keys.c.hash == _hash(plaintext), api_keys.c.revoked_at.is_(None))
    async with engine.connect() as connection:
        row = (await connection.execute(sa.select(*_COLUMNS).where(valid))).first()
    if row is None:
        return None
    key = _record(row)
    if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
        async with writing(engine).begin() as connection:
            await connection.execute(sa.update(api_keys).where(valid).values(last_used_at=now))
    return key


def _record(row: Any) -> KeyRecord:
    return KeyRecord(*row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
