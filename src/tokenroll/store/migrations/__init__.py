"""Alembic migrations, shipped in the package and applied by the ledger at start (store/database.py)."""
