"""The chain over intents and events; rows that were there before are linked in their order."""

import sqlalchemy as sa
from alembic import op

from control.audit_chain import link

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and link what is there."""
    op.create_table(
        "audit_chain",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("row", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False, unique=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )
    db = op.get_bind()
    # As they are at this version, whatever columns the code knows by now.
    intents = sa.Table("intents", sa.MetaData(), autoload_with=db)
    events = sa.Table("intent_events", sa.MetaData(), autoload_with=db)
    happened = db.execute(sa.select(events.c.id, events.c.intent).order_by(events.c.id)).all()
    linked: set[str] = set()
    for event, intent in happened:
        if intent not in linked:
            link(db, intents, intent)
            linked.add(intent)
        link(db, events, str(event))
    for (intent,) in db.execute(sa.select(intents.c.id).order_by(intents.c.at)).all():
        if intent not in linked:
            link(db, intents, intent)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("audit_chain")
