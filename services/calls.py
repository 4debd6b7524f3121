"""One way to call out: a time-out per attempt, retries with jitter under one deadline, our errors.

Retries are stamina's: it has jittered exponential back-off and an overall time limit in one
iterator and counts retries for Prometheus; google.api_core's retry knows only Google's errors, and
the Kubernetes and OpenAI wires need the same treatment. SDKs' own retries are switched off at each
call (`retry=None`), or the two would multiply. What an SDK error becomes is `sdk_errors.py`'s work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import stamina

from core.errors import HeartwoodError, Invalid, OpsError
from services.sdk_errors import CallContext, translate

__all__ = [
    "ONCE",
    "READ",
    "CallContext",
    "RetryPolicy",
    "call",
    "converting",
    "in_parallel",
    "translating",
]

T = TypeVar("T")
A = TypeVar("A")

# A dead source makes dozens of retries a minute, all told once by the source's state on the page:
# they are counted, not logged.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.PrometheusOnRetryHook])


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long a call is tried.

    Attributes:
        attempts: at most; 1 for what changes something and is not idempotent.
        deadline_s: over all attempts and the waits between them.
        wait_initial_s, wait_max_s, wait_jitter_s: back-off doubles from the first to the second.
    """

    attempts: int = 3
    deadline_s: float = 20.0
    wait_initial_s: float = 0.1
    wait_max_s: float = 2.0
    wait_jitter_s: float = 0.3


READ: Final = RetryPolicy()
ONCE: Final = RetryPolicy(attempts=1)


def call(
    fn: Callable[[float], T],
    *,
    resource: str,
    timeout_s: float = 10.0,
    policy: RetryPolicy = READ,
    context: CallContext | None = None,
) -> T:
    """The result of `fn`, tried as the policy says while the error says that trying may help.

    Args:
        fn: gets the seconds that this attempt may take, and makes one call.
        resource: what is called, as named in the error.
        timeout_s: of one attempt; less when the deadline is nearer.
        policy: attempts and the deadline over all of them.
        context: what hints may name.

    Raises:
        OpsError: the call failed for good; the SDK's own error is its `__cause__`.
    """
    end = time.monotonic() + policy.deadline_s
    for attempt in stamina.retry_context(
        on=_may_retry,
        attempts=policy.attempts,
        timeout=policy.deadline_s,
        wait_initial=policy.wait_initial_s,
        wait_max=policy.wait_max_s,
        wait_jitter=policy.wait_jitter_s,
    ):
        with attempt:
            left = max(0.1, end - time.monotonic())
            with translating(resource, context or CallContext()):
                return fn(min(timeout_s, left))
    raise AssertionError("the retry iterator either returns or raises")


def _may_retry(error: Exception) -> bool:
    return isinstance(error, OpsError) and error.retryable


@contextmanager
def translating(resource: str, context: CallContext) -> Generator[None]:
    """Around a call that `call` cannot make, such as a stream.

    Raises:
        OpsError: in place of any SDK's exception.
    """
    try:
        yield
    except HeartwoodError:
        raise
    except Exception as error:
        ours = translate(error, resource, context)
        if ours is None:
            raise  # a mistake of our own: it must be seen as one
        raise ours from error


@contextmanager
def converting(resource: str) -> Generator[None]:
    """Around the conversion of an answer into records.

    Raises:
        Invalid: the answer lacks a field or holds one of another kind.
    """
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise Invalid(
            f"The answer of {resource} was not understood: {type(error).__name__}: {error}",
            resource=resource,
            hint="The service may speak another version of its API, or not be that service.",
        ) from error


def in_parallel(fn: Callable[[A], T], items: Iterable[A], workers: int = 8) -> list[T]:
    """`fn` of each item, in order, several at a time; the first error is raised.

    The threads live for this one fan-out: adapters are called a few times a minute.
    """
    wanted = list(items)
    if len(wanted) <= 1:
        return [fn(item) for item in wanted]
    with ThreadPoolExecutor(min(workers, len(wanted)), thread_name_prefix="services") as pool:
        return list(pool.map(fn, wanted))
