"""Alembic's entry point.

It runs the revisions on the connection that `pipeline.storage.migrations.upgrade` hands over.
"""

from alembic import context

from pipeline.storage.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
