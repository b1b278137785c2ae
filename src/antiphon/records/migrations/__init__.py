"""Alembic migrations, run at start by `antiphon.records.upgrade`."""
