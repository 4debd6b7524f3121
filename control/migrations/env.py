"""Alembic's entry: runs the migrations on the connection that `control.store.migrate` hands over.

Writing a new one: `alembic revision` needs a file alembic.ini; copy the newest file in versions/
instead and change its revision, down_revision and body.
"""

from alembic import context

from control.store import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
