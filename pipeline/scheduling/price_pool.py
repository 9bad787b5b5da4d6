"""The pool in Airflow's database that every task `ingest` takes a slot of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pipeline.scheduling.environment import PRICE_POOL, PRICE_POOL_SLOTS

if TYPE_CHECKING:
    import sqlalchemy as sa

#: What Airflow shows for the pool.
PRICE_POOL_DESCRIPTION = "ingest tasks that ask a price source at the same time"


def make_price_pool(connection: sa.Connection) -> None:
    """Make the pool; one that exists keeps its slots."""
    import sqlalchemy as sa

    values = {
        "pool": PRICE_POOL,
        "slots": PRICE_POOL_SLOTS,
        "description": PRICE_POOL_DESCRIPTION,
        "include_deferred": False,
    }
    if price_pool_slots(connection) is None:
        # Another process may make it in the same moment.
        with contextlib.suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.execute(sa.insert(_pools(connection)).values(**values))


def price_pool_slots(connection: sa.Connection) -> int | None:
    """Return the slots of the pool; None: there is no such pool."""
    import sqlalchemy as sa

    pools = _pools(connection)
    slots: int | None = connection.scalar(
        sa.select(pools.c.slots).where(pools.c.pool == PRICE_POOL)
    )
    return slots


def _pools(connection: sa.Connection) -> sa.Table:
    import sqlalchemy as sa

    return sa.Table("slot_pool", sa.MetaData(), autoload_with=connection)
