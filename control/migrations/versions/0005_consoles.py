"""Which console applies which intent, and when each last said that it lives."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables; intents from before are nobody's, and taken by whoever starts first."""
    op.create_table(
        "consoles",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "intent_consoles",
        sa.Column("intent", sa.String(64), sa.ForeignKey("intents.id"), primary_key=True),
        sa.Column("console", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("intent_consoles")
    op.drop_table("consoles")
