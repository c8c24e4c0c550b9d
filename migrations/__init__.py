"""Schema history of the store, by Alembic."""
