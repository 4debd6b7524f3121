"""The table [audit] of `heartwood.toml`: where copies of the record go."""

from __future__ import annotations

import httpx
from pydantic import Field, SecretStr, field_validator

from control.settings_access import is_loopback
from control.settings_sections import Section
from control.tier_settings import refuse


class AuditSettings(Section):
    """[audit]: the record is in the database; what is set here gets a copy of each new row."""

    cloud_log: str = Field(
        default="",
        pattern=r"^[-A-Za-z0-9_./]{0,400}$",
        description="id of a log in Cloud Logging, such as heartwood-audit; empty: no copy there",
    )
    webhook_url: SecretStr = Field(
        default=SecretStr(""),
        description="https address that new rows are posted to as JSON; empty: none",
    )
    webhook_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of the HMAC-SHA256 in X-Heartwood-Signature; empty: not signed",
    )

    @field_validator("webhook_url")
    @classmethod
    def _safe(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().strip()
        if not text:
            return SecretStr("")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise refuse("must be an https address") from error
        plain = url.scheme == "http" and is_loopback(url.host)
        if not url.host or not (url.scheme == "https" or plain):
            raise refuse("must be an https address; http is for this machine alone")
        return SecretStr(text)
