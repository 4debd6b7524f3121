"""Google's recommendations to save cost: what they are of, and what each is said to save.

Reading them is `services/recommender.py`'s; which of the resources the clean-up deletes is told by
`core/actions/clean_up_orphans.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MONTH_S: Final = 30 * 86_400  # for which Google projects what idle resources cost


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One resource that Google would have somebody delete or change, since it costs for nothing.

    Attributes:
        name: its full name, projects/…/recommendations/ID.
        resource: full name of what it is of, //SERVICE/PATH.
        location: "global", a region or a zone.
        subtype: Google's word for what to do, e.g. DELETE_ADDRESS.
        reason: Google's sentence.
        state: ACTIVE, or CLAIMED: somebody said that they see to it.
        saving_usd: US dollars that 30 days without the resource save; None: not told, or told in
            another currency.
        refreshed_at: when Google last looked; None: not told.
        owner: whose it is (see `CloudResource`); None: not ours.
        is_owner_known: False: whose it is could not be read, and `owner` is None.
    """

    name: str
    resource: str
    location: str
    subtype: str
    reason: str
    state: str
    saving_usd: float | None
    refreshed_at: datetime | None
    owner: str | None = None
    is_owner_known: bool = True
