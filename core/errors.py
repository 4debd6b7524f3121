"""The one tree of errors that Heartwood raises, and nothing else.

Adapters turn every SDK exception into an `OpsError`; planning and applying raise `PlanError`;
settings raise `ConfigError`. Each says which resource is meant, whether trying again may help, and
what the person can do next.
"""


class HeartwoodError(Exception):
    """Root of the tree.

    Attributes:
        message: what went wrong, in one sentence for a person.
        resource: full name of the resource or source concerned; "" where there is none.
        retryable: whether the same call may succeed later without anybody changing anything.
        hint: the next step for the person; "" where none is known.
    """

    retryable_by_default = False

    def __init__(
        self,
        message: str,
        *,
        resource: str = "",
        retryable: bool | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.resource = resource
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.hint = hint

    @property
    def kind(self) -> str:
        """The class name, as shown on pages and written to the audit."""
        return type(self).__name__


class OpsError(HeartwoodError):
    """A call to Google Cloud, Kubernetes or the inference server failed."""


class NotFound(OpsError):
    """The resource does not exist (404 / NOT_FOUND)."""


class Denied(OpsError):
    """Identity missing, expired or without permission (401, 403)."""


class SwitchedOff(Denied):
    """The API is not enabled in the project."""


class Conflict(OpsError):
    """It exists already, changed meanwhile, or is in the wrong state (409, 412)."""


class RateLimited(OpsError):
    """Too many calls (429); waiting helps."""

    retryable_by_default = True


class QuotaExceeded(OpsError):
    """A quota or the stock is exhausted; waiting alone rarely helps."""


class Unavailable(OpsError):
    """No answer, a time-out, or a 5xx; trying again may help."""

    retryable_by_default = True


class Invalid(OpsError):
    """The request or the answer was malformed (400, 422, or an unexpected answer)."""


class PlanError(HeartwoodError):
    """A plan may not be made or applied."""


class Blocked(PlanError):
    """A guard blocks the plan."""


class Stale(PlanError):
    """What the plan was based on has changed since."""


class Expired(PlanError):
    """The plan is older than its life time."""


class Unconfirmed(PlanError):
    """A consent that the plan needs was not given."""


class ConfigError(HeartwoodError):
    """A setting is wrong: names the file or variable, the key and what is allowed."""
