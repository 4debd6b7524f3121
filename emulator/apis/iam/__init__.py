"""IAM v1: service accounts with their policies, roles, permissions."""

from __future__ import annotations

from emulator.apis.iam.api import Iam
from emulator.apis.iam.rules import RULES
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service; the library knows no REST, so its rules are given."""
    package = "google.cloud.iam_admin_v1.services.iam"
    return [Mount("/iam", f"{package}.transports", Iam(cloud), extra_rules=RULES)]
