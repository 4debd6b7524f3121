"""Approvals by a second person, and what of an intent was approved or overridden."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table and the columns, which are empty for what was there before."""
    op.create_table(
        "approval_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request", sa.String(64), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("origin", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("answer", sa.String(16), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("intent", sa.String(64), nullable=True),
        sa.Column("plan", sa.Text, nullable=True),
        sa.Column("verdicts", sa.Text, nullable=True),
        sa.UniqueConstraint("request", "kind", name="approval_once"),
    )
    op.add_column("intents", sa.Column("approvals", sa.Text, nullable=True))
    op.add_column("intents", sa.Column("overrides", sa.Text, nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.execute("ALTER TABLE intents DROP COLUMN overrides")  # not in a batch, which breaks keys
    op.execute("ALTER TABLE intents DROP COLUMN approvals")
    op.drop_table("approval_events")
