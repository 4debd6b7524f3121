"""What every call passes before its handler: who asks, whether it may, what goes wrong with it.

One gate per emulator, for both wires and for the router-mounted APIs. Which API a path means is
the wires' business.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.iam.callers import Caller, caller_of
from emulator.apis.iam.enforcement import check_permission, denied
from emulator.apis.iam.needed import permission_for
from emulator.disturbance import Disturbance, Wanted, disturbed
from emulator.faults.asked import Asked, asked_of, method_names
from emulator.faults.book import FaultBook, Struck
from emulator.faults.rules import Rule, RuleError
from emulator.journal.changes import Made
from emulator.journal.reading import reads
from emulator.wire.errors import ApiError
from emulator.wire.mount import Mount, RouterMount

if TYPE_CHECKING:
    from emulator.context import Cloud
    from emulator.wire.call import Call

# Services of jobs → hosts, where the names differ.
_HOSTS: Final = {"tpu-queue": "tpu"}
_WORDS: Final = {
    "CANCELLED": "The operation was cancelled.",
    "UNKNOWN": "Unknown Error.",
    "INVALID_ARGUMENT": "Request contains an invalid argument.",
    "DEADLINE_EXCEEDED": "Deadline expired before operation could complete.",
    "NOT_FOUND": "Requested entity was not found.",
    "ALREADY_EXISTS": "Requested entity already exists",
    "PERMISSION_DENIED": "The caller does not have permission",
    "RESOURCE_EXHAUSTED": "Resource has been exhausted (e.g. check quota).",
    "FAILED_PRECONDITION": "Precondition check failed.",
    "ABORTED": "The operation was aborted.",
    "UNIMPLEMENTED": "Operation is not implemented, or supported, or enabled.",
    "INTERNAL": "Internal error encountered.",
    "UNAVAILABLE": "The service is currently unavailable.",
    "UNAUTHENTICATED": "Request is missing required authentication credential.",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passage:
    """How a call that passed goes on: what its answer suffers, what its operations do."""

    caller: Caller
    wait_s: float = 0.0
    cut: str = ""
    operation: Wanted | None = None


class Gate:
    """The gate of one emulator.

    Attributes:
        book: the fault rules.
    """

    def __init__(self, cloud: Cloud, mounts: Sequence[Mount | RouterMount]) -> None:
        self._cloud = cloud
        self._mounts = mounts
        self._services: dict[str, frozenset[str] | None] | None = None
        self.book = FaultBook(cloud, self._known)
        cloud.operations.struck = self.book.struck

    def begin(self, file: Path | None) -> None:
        """Enter the rules of a file in place of an earlier start's; a change like any other.

        Operations that no rule holds any more go on.

        Raises:
            RuleError: one of them cannot be taken.
        """
        given = self.book.parse(file) if file is not None else []
        if file is None and not self.book.from_file and not self._unheld():
            return

        def act() -> Made:
            try:
                self.enter(given)
            except RuleError as error:
                return Made(error, False, 0)
            return Made(None, True, 0)

        made = self._cloud.changes.make({"kind": "faults", "given": given}, act)
        if isinstance(made.answer, RuleError):
            raise RuleError(str(file), str(made.answer)) from made.answer

    def enter(self, given: Any) -> None:
        """What `begin` does, in a turn.

        Raises:
            RuleError: one of the rules cannot be taken.
        """
        self.book.replace_file(given)
        for rule in sorted(self._unheld()):
            self._cloud.operations.release(rule)

    def _unheld(self) -> set[str]:
        """Rules that are there no more and hold operations."""
        standing = {rule.id for rule in self.book.rules() if rule.operation == "stuck"}
        jobs = [j for j in self._cloud.operations.all() if not j.done and j.disturbance]
        held = {j.disturbance.rule for j in jobs if j.disturbance and not j.disturbance.error}
        return held - standing

    def _known(self) -> Mapping[str, frozenset[str] | None]:
        """Services that rules may name, with their methods' names where a library has them."""
        if self._services is None:
            found: dict[str, frozenset[str] | None] = {"kubernetes": None}
            for mount in self._mounts:
                if isinstance(mount, RouterMount):
                    if mount.service:
                        found[mount.service.partition(".")[0]] = None
                    continue
                for method in mount.methods():
                    service = method.host.partition(".")[0]
                    known = found.setdefault(service, frozenset()) if service else None
                    if known is not None:
                        found[service] = known.union(method_names(method))
            self._services = found
        return self._services

    def pass_method(self, call: Call, request: Any, handler: object) -> Passage:
        """Let a call of a library's method pass; the handler tells whose mix-in it is.

        Raises:
            ApiError: who calls is not known or may not, or a fault refuses it.
        """
        fallback = self._host_of(request, handler) if not call.method.host else ""
        asked = asked_of(call.method, request, fallback)
        begins = not reads(call.method, request)
        return self.admit(asked, call.headers, dict(call.query), begins=begins)

    def admit(
        self, asked: Asked, headers: Mapping[str, str], query: Mapping[str, str], *,
        begins: bool = False,
    ) -> Passage:  # fmt: skip
        """Let a call pass; a refusal by a fault has its wait with it (`Refused`).

        `begins`: whether the call may begin operations.

        Raises:
            ApiError: who calls is not known or may not, or a fault refuses it.
        """
        method = asked.methods[0]
        caller = caller_of(self._cloud, headers, query, host=asked.host, method=method)
        check_permission(self._cloud, caller, asked)
        struck = self.book.strike(asked, begins=begins)
        if struck is None:
            return Passage(caller)
        self._keep(struck.counted)
        if struck.refusal is not None:
            raise Refused(self._refusal(struck.refusal, asked), struck)
        operation = None
        if (rule := struck.operation) is not None:
            error = None if rule.operation == "stuck" else (rule.code, self._fill(rule, asked))
            operation = Wanted(Disturbance(rule.id, error), partial(self.book.claim, rule))
        return Passage(caller, struck.wait_s, struck.cut, operation)

    def _keep(self, counted: Sequence[Rule]) -> None:
        """Write down how often rules have hit that end by it, before the answer leaves.

        Not for the parts of a batch, which run within its turn.
        """
        if self._cloud.changes.journal is None or self._cloud.turns.inside:
            return
        for rule in counted:
            record = {"kind": "struck", "rule": rule.id, "seen": rule.seen, "hits": rule.hits}
            there = partial(self.book.holds, rule)
            self._cloud.changes.make(record, lambda there=there: Made(None, there(), 0))

    @contextmanager
    def passing(self, passage: Passage) -> Generator[None]:
        """While the handler of a call runs: its operations go wrong as the rules say."""
        if passage.operation is None:
            yield
            return
        with disturbed(passage.operation):
            yield

    def _host_of(self, request: Any, handler: object) -> str:
        """The API of a method that several share: that of the operation named, or the handler's."""
        job = self._cloud.operations.get(str(getattr(request, "name", "")))
        if job is not None:
            return f"{_HOSTS.get(job.service, job.service)}.googleapis.com"
        mount = next(m for m in self._mounts if isinstance(m, Mount) and m.handler is handler)
        return next(m.host for m in mount.methods() if m.host)

    def _refusal(self, rule: Rule, asked: Asked) -> ApiError:
        if rule.reason == "IAM_PERMISSION_DENIED" and not rule.message:
            return denied(self._cloud, asked, permission_for(asked) or _guess(asked))
        metadata = {k: self._insert(v, asked) for k, v in rule.metadata.items()}
        return ApiError(
            rule.code, self._fill(rule, asked) or _WORDS.get(rule.code, rule.code),
            reason=rule.reason, metadata=metadata,
        )  # fmt: skip

    def _fill(self, rule: Rule, asked: Asked) -> str:
        return self._insert(rule.message, asked)

    def _insert(self, text: str, asked: Asked) -> str:
        own = self._cloud.project
        values = {
            "service": asked.service, "host": asked.host, "method": asked.methods[0],
            "resource": asked.resource, "permission": permission_for(asked),
            "project": own.id, "number": own.number,
        }  # fmt: skip
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text


class Refused(ApiError):
    """A fault's refusal, and how long the caller waits for it."""

    def __init__(self, error: ApiError, struck: Struck) -> None:
        super().__init__(error.code.name, error.message, legacy_reason=error.legacy_reason)
        self.reason, self.details, self.http_status = (
            error.reason, error.details, error.http_status,
        )  # fmt: skip
        self.wait_s = struck.wait_s


def _guess(asked: Asked) -> str:
    return f"{asked.service}.{asked.methods[0]}"
