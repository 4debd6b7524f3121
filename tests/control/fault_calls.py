"""The faults that the emulator makes, and what each kind of step of a plan calls: data alone.

Which call meets which fault is test_truth_under_faults.py's.
"""

from __future__ import annotations

from typing import Any

FAULTS: tuple[dict[str, Any], ...] = (
    {"preset": "unavailable"},
    {"preset": "permission-denied"},
    {"preset": "truncated"},
    {"preset": "failed-operation"},
    {"preset": "reset"},
    {"preset": "expired-token"},
    {"preset": "stuck-operation"},
    {"preset": "quota-exceeded"},
    {"preset": "slow", "latency_s": 0.3, "jitter_s": 0.1},
    {"preset": "stock-out", "method": ""},  # the preset names methods: here the step does
    {"preset": "deadline", "latency_s": 0.1},
)
# (service, method): what each kind of step calls, in an order that does not matter.
MAKING = (
    *(("compute", f"{name}.insert") for name in (
        "networks", "subnetworks", "firewalls", "healthChecks", "backendServices", "urlMaps",
        "sslCertificates", "targetHttpsProxies", "globalAddresses", "globalForwardingRules",
    )),
    ("compute", "urlMaps.update"),
    ("iam", "CreateServiceAccount"), ("iam", "SetIamPolicy"),
    ("cloudresourcemanager", "SetIamPolicy"),
    ("container", "CreateCluster"), ("container", "CreateNodePool"),
    *(("kubernetes", f"{name}.patch") for name in (
        "namespaces", "serviceaccounts", "deployments", "services")),
    ("monitoring", "CreateAlertPolicy"), ("monitoring", "CreateDashboard"),
    ("bigquery", "datasets.insert"), ("logging", "CreateSink"),
    ("billingbudgets", "CreateBudget"),
    ("aiplatform", "CreateEndpoint"), ("aiplatform", "UploadModel"), ("aiplatform", "DeployModel"),
    ("compute", "resourcePolicies.insert"), ("kubernetes", "leaderworkersets.patch"),
    ("tpu", "CreateQueuedResource"),
)  # fmt: skip
ADDING = (("container", "CreateNodePool"), ("kubernetes", "leaderworkersets.patch"))
TAKING = (("container", "DeleteNodePool"), ("kubernetes", "leaderworkersets.patch"))
REMOVING = (
    *(("compute", f"{name}.delete") for name in (
        "networks", "subnetworks", "firewalls", "healthChecks", "backendServices", "urlMaps",
        "sslCertificates", "targetHttpsProxies", "globalAddresses", "globalForwardingRules",
    )),
    ("compute", "urlMaps.update"), ("iam", "DeleteServiceAccount"),
    ("cloudresourcemanager", "SetIamPolicy"), ("container", "DeleteCluster"),
    ("container", "DeleteNodePool"), ("kubernetes", "namespaces.delete"),
    ("kubernetes", "services.delete"), ("monitoring", "DeleteAlertPolicy"),
    ("monitoring", "DeleteDashboard"), ("bigquery", "datasets.delete"),
    ("logging", "DeleteSink"), ("billingbudgets", "DeleteBudget"),
    ("aiplatform", "UndeployModel"), ("aiplatform", "DeleteModel"),
    ("aiplatform", "DeleteEndpoint"), ("tpu", "DeleteNode"),
    ("compute", "resourcePolicies.delete"), ("tpu", "DeleteQueuedResource"),
)  # fmt: skip
OF_OPERATIONS = ("failed-operation", "stuck-operation", "stock-out")
