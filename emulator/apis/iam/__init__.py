"""IAM v1: service accounts with their policies, roles, permissions; IAM Credentials' tokens."""

from __future__ import annotations

from emulator.apis.iam.api import Iam
from emulator.apis.iam.credentials import Credentials
from emulator.apis.iam.rules import RULES
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount both services; the first's library knows no REST, so its rules are given."""
    package = "google.cloud.iam_admin_v1.services.iam"
    tokens = "google.cloud.iam_credentials_v1.services.iam_credentials"
    return [
        Mount("/iam", f"{package}.transports", Iam(cloud), extra_rules=RULES),
        Mount("/iamcredentials", f"{tokens}.transports", Credentials(cloud)),
    ]
