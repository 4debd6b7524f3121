"""Which calls only read: those take no turn and are not written down.

Of what Google's libraries describe the HTTP rules tell (GET reads), else the method's first word;
the exceptions are listed. Whatever is not known to read is taken to change something: that costs a
line in the journal, the opposite mistake would lose a change.
"""

from __future__ import annotations

import re
from typing import Any, Final

from emulator.wire.codec import plain
from emulator.wire.library import Method

# First words of methods that only read, whatever their HTTP verb.
READING_WORDS: Final = frozenset(
    {"aggregated", "fetch", "get", "list", "query", "search", "test", "validate", "wait"}
)
# Further methods that change nothing but are no GET.
READING_METHODS: Final = frozenset(
    {"compute_tokens", "count_tokens", "direct_predict", "explain", "generate_content",
     "lint_policy", "predict", "pull", "raw_predict", "sign_blob", "sign_jwt"}
)  # fmt: skip
# Methods that may ask only whether a call would be accepted, and whose handlers know it; the field.
TRIALS: Final = {
    "create_dashboard": "validate_only", "update_dashboard": "validate_only",
    "update_quota_preference": "validate_only",
    "write_log_entries": "dry_run",
}  # fmt: skip

_READING_VERBS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# (verb, path from its root) of HTTP calls to routers that change nothing though they are no GET.
READING_PATHS: Final = (
    ("POST", re.compile(r"/cloudresourcemanager/.*:(getIamPolicy|testIamPermissions|getAncestry)")),
    ("POST", re.compile(r"/k8s/.*/(self)?subject(access|rules)?reviews")),
    ("POST", re.compile(r"/k8s/.*/(localsubjectaccess|token)reviews")),
)
_TRIAL: Final = ("/k8s/", b"dryRun=All")
# BigQuery: one SELECT, or a dry run of whatever. A job that writes names its destination.
_QUERIES: Final = re.compile(r"/bigquery(/bigquery)?(/v2)?/projects/[^/]+/(queries|jobs)")
_BEFORE: Final = re.compile(r"[\s(]+|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SELECT: Final = re.compile(r"(SELECT|WITH)\b[^;]*;?\s*", re.IGNORECASE)


def reads(method: Method, request: Any) -> bool:
    """Whether a call of a library's method only reads."""
    trial = TRIALS.get(method.name)
    return _method_reads(method) or bool(trial and getattr(plain(request), trial, False))


def _method_reads(method: Method) -> bool:
    if method.name in READING_METHODS or method.name.split("_", 1)[0] in READING_WORDS:
        return True
    return bool(method.rules) and {rule.verb for rule in method.rules} <= _READING_VERBS


def http_reads(verb: str, path: str, query: bytes) -> bool:
    """Whether an HTTP call only reads, as far as verb, path and query tell."""
    if verb in _READING_VERBS:
        return True
    place, option = _TRIAL
    if path.startswith(place) and query.split(b"&").count(option) == query.count(b"dryRun") == 1:
        return True
    return any(verb == v and pattern.fullmatch(path) for v, pattern in READING_PATHS)


def may_be_query(verb: str, path: str) -> bool:
    """Whether the body has to tell, by `query_reads`."""
    return verb == "POST" and _QUERIES.fullmatch(path) is not None


def query_reads(body: Any) -> bool:
    """Whether the body of BigQuery's jobs.query or jobs.insert asks for a SELECT, or a dry run."""
    if not isinstance(body, dict):
        return False
    inside = body.get("configuration", body)
    if not isinstance(inside, dict):
        return False
    if inside.get("dryRun") is True:
        return True
    query = inside.get("query")
    options = query if isinstance(query, dict) else inside
    text = options.get("query")
    if options.get("destinationTable") or not isinstance(text, str):
        return False
    start = 0
    while found := _BEFORE.match(text, start):
        start = found.end()
    return _SELECT.fullmatch(text, start) is not None
