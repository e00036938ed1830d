"""Scripts of Alembic: `env.py` runs those in `versions/`."""
