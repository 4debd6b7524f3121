"""Resources of a project by their full names, and how those that Heartwood made are recognised.

A full name is Google's: //SERVICE/PATH. What is ours says so by the label `heartwood-tier` where
the API has labels, else by a line of JSON in its description. What a tier consists of is
`core/chain/`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from core.specs import TIER_LABEL

PLATFORM: Final = "platform"  # owner of what all tiers share; no tier may have that name here

COMPUTE: Final = "compute.googleapis.com"
CONTAINER: Final = "container.googleapis.com"
IAM: Final = "iam.googleapis.com"
PROJECTS: Final = "cloudresourcemanager.googleapis.com"
SERVICES: Final = "serviceusage.googleapis.com"
MONITORING: Final = "monitoring.googleapis.com"
LOGGING: Final = "logging.googleapis.com"
BIGQUERY: Final = "bigquery.googleapis.com"
BUDGETS: Final = "billingbudgets.googleapis.com"
TPU: Final = "tpu.googleapis.com"
AIPLATFORM: Final = "aiplatform.googleapis.com"
KUBERNETES: Final = "/k8s/"  # between a cluster's name and the path of an object in it


@dataclass(frozen=True, slots=True)
class CloudResource:
    """Something that exists.

    Attributes:
        name: its full name.
        owner: the tier that it was made for, `PLATFORM`, or None: it is not ours.
        status: the API's word for its state; "" where it has none.
        broken: it failed, or is only half made: it has to be made again.
    """

    name: str
    owner: str | None
    status: str = ""
    broken: bool = False


def mark(owner: str) -> str:
    """The description of what is made for that owner."""
    return json.dumps({TIER_LABEL: owner}, separators=(",", ":"))


def owner_of(labels: Mapping[str, str], description: str = "") -> str | None:
    """Whose a resource is, by its labels, else by a line of its description; None: not ours."""
    if TIER_LABEL in labels:
        return labels[TIER_LABEL]
    for line in description.splitlines():
        try:
            said: object = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            owner = cast(Mapping[str, object], said).get(TIER_LABEL)
            if isinstance(owner, str):
                return owner
    return None


def service_of(name: str) -> str:
    """The service in a full name."""
    return name.removeprefix("//").partition("/")[0]


def path_of(name: str) -> str:
    """What follows the service in a full name."""
    return name.removeprefix("//").partition("/")[2]


def short_name(name: str) -> str:
    """The last part, for people."""
    return name.rsplit("/", 1)[-1]
