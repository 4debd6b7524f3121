"""Handlers of google.iam.credentials.v1.IAMCredentials: short-lived tokens of service accounts.

Access tokens are those that callers.py reads. ID tokens and signatures would need keys that
somebody trusts; they are not served.
"""

from __future__ import annotations

import re
from typing import Final

from google.cloud.iam_credentials_v1.types import common as types
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.iam.callers import caller_of, token_for
from emulator.apis.iam.enforcement import denied, may
from emulator.apis.iam.model import Account, iam_state
from emulator.context import Cloud
from emulator.faults.asked import asked_of
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.names import parse_name

_NAME: Final = "projects/{project}/serviceAccounts/{account}"
_SCOPE: Final = re.compile(r"https://www\.googleapis\.com/auth/[-.\w/]+")
_LONGEST_S: Final = 3600
_PERMISSION: Final = "iam.serviceAccounts.getAccessToken"


class Credentials:
    """Tokens."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = iam_state(cloud)

    def generate_access_token(
        self, request: types.GenerateAccessTokenRequest, call: Call
    ) -> types.GenerateAccessTokenResponse:
        """A token of the account, for callers who may make one; delegates need it in turn."""
        lifetime_s = self._lifetime(plain(request).lifetime)
        if not request.scope or not all(_SCOPE.fullmatch(s) for s in request.scope):
            raise invalid("Scope must be set to URLs of scopes.", field="scope")
        member = caller_of(
            self._cloud, call.headers, dict(call.query), host=call.method.host,
            method=call.method.rpc,
        )  # fmt: skip
        for name in (*request.delegates, request.name):
            account = self._account(name)
            if account is None or not may(self._cloud, member, _PERMISSION, account.full_name):
                raise denied(self._cloud, asked_of(call.method, request), _PERMISSION, member)
            if account.disabled:
                raise failed_precondition(f"Service account {account.email} is disabled.")
            member = type(member)(account.member)
        until = self._cloud.clock.now() + lifetime_s
        return types.GenerateAccessTokenResponse(
            access_token=token_for(member.member, until), expire_time=Timestamp(seconds=int(until))
        )

    def _lifetime(self, asked: Duration) -> int:
        seconds = asked.seconds or (_LONGEST_S if not asked.nanos else 0)
        if not 0 < seconds <= _LONGEST_S:
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Invalid lifetime: it must be from 1 to {_LONGEST_S} seconds.",
            )
        return seconds

    def _account(self, name: str) -> Account | None:
        parts = parse_name(_NAME, name)
        own = self._cloud.project
        if parts["project"] not in ("-", own.id, own.number):
            return None
        return self._state.find(parts["account"])
