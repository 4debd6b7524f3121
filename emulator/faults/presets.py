"""Faults with names: what an SRE rehearses, as rules that lack only the calls they are for."""

from __future__ import annotations

from typing import Any, Final

# In messages and metadata {service}, {host}, {method}, {resource}, {permission}, {project},
# {number} and {zone} stand for the call's own.
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "quota-exceeded": {
        "code": "RESOURCE_EXHAUSTED",
        "message": "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of "
                   "service '{host}' for consumer 'project_number:{number}'.",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {
            "consumer": "projects/{number}", "service": "{host}",
            "quota_limit": "RequestsPerMinutePerProject", "quota_metric": "{host}/requests",
            "quota_location": "global",
        },
    },
    "stock-out": {
        # Without a message each API reports it in its own words.
        "operation": "fail", "code": "RESOURCE_EXHAUSTED", "reason": "GCE_STOCKOUT",
        "method": "Create*|SetNodePoolSize|StartNode|DeployModel|MutateDeployedModel|*.insert",
    },
    "permission-denied": {"code": "PERMISSION_DENIED", "reason": "IAM_PERMISSION_DENIED"},
    "unavailable": {"code": "UNAVAILABLE", "message": "The service is currently unavailable."},
    "deadline": {
        "code": "DEADLINE_EXCEEDED", "latency_s": 10.0,
        "message": "Deadline expired before operation could complete.",
    },
    "slow": {"latency_s": 3.0, "jitter_s": 2.0},
    "expired-token": {
        "code": "UNAUTHENTICATED", "reason": "ACCESS_TOKEN_EXPIRED",
        "message": "Request had invalid authentication credentials. Expected OAuth 2 access token, "
                   "login cookie or other valid authentication credential. See "
                   "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        "metadata": {"service": "{host}", "method": "{method}"},
    },
    "truncated": {"cut": "truncate"},
    "reset": {"cut": "reset"},
    "stuck-operation": {"operation": "stuck"},
    "failed-operation": {
        "operation": "fail", "code": "INTERNAL", "message": "Internal error encountered.",
    },
    "preempted": {"state": "preempt"},
    "unhealthy-backend": {"state": "unhealthy"},
    "bad-model": {"state": "bad-model"},
}  # fmt: skip
