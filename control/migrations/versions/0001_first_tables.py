"""The first tables: intents, their events and gates, tier locks, plans, annotations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "intents",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", _TIME, nullable=False, index=True),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("origin", sa.String(256), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("tier", sa.String(64), nullable=False, index=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("verdicts", sa.Text, nullable=False),
        sa.Column("consents", sa.Text, nullable=False),
    )
    op.create_table(
        "intent_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), nullable=False, index=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
    )
    op.create_table(
        "intent_gates",
        sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), primary_key=True),
        sa.Column("gate", sa.String(16), nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "tier_locks",
        sa.Column("tier", sa.String(64), primary_key=True),
        sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("saved_at", _TIME, nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "annotations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", _TIME, nullable=False, index=True),
        sa.Column("tier", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("link", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them, latest first."""
    for name in (
        "annotations",
        "plans",
        "tier_locks",
        "intent_gates",
        "intent_events",
        "intents",
    ):
        op.drop_table(name)
