"""Sign-ins that their owners ended, for all consoles on the database.

A sign-in is a cookie that holds until its token expires; what was ended before is kept here, by a
hash: of the claims nothing is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from control.audit_rows import utc_now
from control.store import ended_sign_ins as ended

_REMEMBERED: Final = timedelta(days=31)  # longer than Streamlit's cookie of a sign-in lives


class SignOuts:
    """Safe for threads and for several processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def end(self, sign_in: Sequence[str]) -> None:
        """Note that this sign-in has ended, by what tells it from others; twice is once."""
        now = utc_now()
        try:
            with self._engine.begin() as db:
                db.execute(ended.delete().where(ended.c.at < now - _REMEMBERED))
                db.execute(ended.insert().values(sign_in=_hash(sign_in), at=now))
        except IntegrityError:
            return  # it has been noted already

    def has_ended(self, sign_in: Sequence[str]) -> bool:
        """Whether its owner has signed out, here or at another console."""
        query = sa.select(ended.c.at).where(ended.c.sign_in == _hash(sign_in))
        with self._engine.connect() as db:
            return db.execute(query).first() is not None


def _hash(sign_in: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sign_in).encode()).hexdigest()
