"""Which permissions a method needs, by rule with exceptions, from Google's reference pages.

The rule: `list_x`, `get_x`, `create_x`, `update_x`, `delete_x` of a service need
`SERVICE.xs.list` … ; compute's and the REST-only APIs' methods are `COLLECTION.verb` already. Where
Google checks several permissions, the first is that of the method itself.
"""

from __future__ import annotations

import re
from typing import Final

from emulator.faults.asked import Asked

_SERVICE: Final = {
    "cloudresourcemanager": "resourcemanager", "cloudbilling": "billing",
    "billingbudgets": "billing", "kubernetes": "container",
}  # fmt: skip
_VERB: Final = {
    "patch": "update", "insert": "create", "upload": "create", "aggregated_list": "list",
    "wait": "get", "batch_get": "get", "query": "list", "search": "list",
}  # fmt: skip
# Handlers that answer only with what the caller may see, check for themselves, or are public.
_NONE: Final = frozenset({
    "test_iam_permissions", "query_grantable_roles", "query_testable_permissions",
    "list_monitored_resource_descriptors@logging", "search_projects", "list_projects",
    "list_billing_accounts", "list_services@cloudbilling", "list_skus", "get_open_i_d_config",
    "get_location", "list_locations", "generate_access_token", "generate_id_token", "sign_blob",
    "sign_jwt",
})  # fmt: skip
_CLUSTER_UPDATE: Final = re.compile(
    r"(?:create|delete|update|rollback)_node_pool(?:_upgrade)?|set_\w+|update_master"
    r"|(?:start|complete)_\w+|cancel_operation"
)
_ENDPOINT_PREDICT: Final = re.compile(r"(?:server_)?(?:stream_)?(?:direct_)?(?:raw_)?predict\w*")
# (service, method) → permission without the service.
_EXCEPTIONS: Final = {
    ("container", "list_node_pools"): "clusters.get",
    ("container", "get_node_pool"): "clusters.get",
    ("container", "get_server_config"): "clusters.list",
    ("container", "check_autopilot_compatibility"): "clusters.get",
    ("aiplatform", "deploy_model"): "endpoints.deploy",
    ("aiplatform", "undeploy_model"): "endpoints.undeploy",
    ("aiplatform", "mutate_deployed_model"): "endpoints.update",
    ("aiplatform", "list_model_versions"): "models.list",
    ("aiplatform", "delete_model_version"): "models.delete",
    ("aiplatform", "merge_version_aliases"): "models.update",
    ("aiplatform", "copy_model"): "models.upload",
    ("aiplatform", "explain"): "endpoints.explain",
    ("aiplatform", "upload_model"): "models.upload",
    ("cloudresourcemanager", "get_iam_policy"): "projects.getIamPolicy",
    ("cloudresourcemanager", "set_iam_policy"): "projects.setIamPolicy",
    ("iam", "get_iam_policy"): "serviceAccounts.getIamPolicy",
    ("iam", "set_iam_policy"): "serviceAccounts.setIamPolicy",
    ("serviceusage", "batch_enable_services"): "services.enable",
    ("cloudquotas", "list_quota_infos"): "quotas.get",
    ("cloudquotas", "list_quota_preferences"): "quotas.get",
    ("cloudquotas", "create_quota_preference"): "quotas.update",
    ("cloudquotas", "update_quota_preference"): "quotas.update",
    ("cloudbilling", "get_billing_account"): "accounts.get",
    ("cloudbilling", "get_iam_policy"): "accounts.getIamPolicy",
    ("cloudbilling", "set_iam_policy"): "accounts.setIamPolicy",
    ("cloudbilling", "get_project_billing_info"): "resourceAssociations.list",
    ("cloudbilling", "list_project_billing_info"): "resourceAssociations.list",
    ("cloudbilling", "update_project_billing_info"): "resourceAssociations.create",
    ("logging", "write_log_entries"): "logEntries.create",
    ("logging", "tail_log_entries"): "logEntries.list",
    ("monitoring", "create_service_time_series"): "timeSeries.create",
    ("monitoring", "query_time_series"): "timeSeries.list",
    ("monitoring", "send_notification_channel_verification_code"):
        "notificationChannels.sendVerificationCode",
    ("monitoring", "get_notification_channel_verification_code"):
        "notificationChannels.getVerificationCode",
    ("monitoring", "list_alerts"): "alerts.list",
    ("monitoring", "get_alert"): "alerts.get",
    ("compute", "backendServices.setEdgeSecurityPolicy"): "backendServices.setSecurityPolicy",
    ("compute", "networks.switchToCustomMode"): "networks.update",
    ("compute", "urlMaps.invalidateCache"): "urlMaps.invalidateCache",
    ("compute", "urlMaps.validate"): "urlMaps.validate",
    ("compute", "networkEndpointGroups.attachNetworkEndpoints"):
        "networkEndpointGroups.attachNetworkEndpoints",
    ("compute", "networkEndpointGroups.detachNetworkEndpoints"):
        "networkEndpointGroups.detachNetworkEndpoints",
    ("pubsub", "publish"): "topics.publish",
    ("pubsub", "list_topic_subscriptions"): "topics.get",
    ("pubsub", "list_topic_snapshots"): "topics.get",
    ("pubsub", "detach_subscription"): "topics.detachSubscription",
    ("pubsub", "modify_push_config"): "subscriptions.update",
    ("pubsub", "pull"): "subscriptions.consume",
    ("pubsub", "streaming_pull"): "subscriptions.consume",
    ("pubsub", "acknowledge"): "subscriptions.consume",
    ("pubsub", "modify_ack_deadline"): "subscriptions.consume",
    ("pubsub", "seek"): "subscriptions.consume",
    ("artifactregistry", "batch_delete_versions"): "versions.delete",
    # It has no permissions for operations of its own.
    ("artifactregistry", "get_operation"): "repositories.get",
    ("artifactregistry", "get_iam_policy"): "repositories.getIamPolicy",
    ("artifactregistry", "set_iam_policy"): "repositories.setIamPolicy",
    ("redis", "failover_instance"): "instances.failover",
    ("redis", "get_instance_auth_string"): "instances.getAuthString",
    ("redis", "upgrade_instance"): "instances.upgrade",
    ("lustre", "import_data"): "instances.importData",
    ("lustre", "export_data"): "instances.exportData",
    ("storage", "objects.compose"): "objects.create",
    ("storage", "objects.copy"): "objects.create",
    ("storage", "objects.rewrite"): "objects.create",
    ("storage", "objects.move"): "objects.create",
    ("storage", "buckets.getStorageLayout"): "buckets.get",
    ("bigquery", "jobs.query"): "jobs.create",
    ("bigquery", "jobs.getQueryResults"): "jobs.get",
    ("bigquery", "jobs.cancel"): "jobs.update",
    ("bigquery", "datasets.list"): "datasets.get",
    ("bigquery", "tabledata.list"): "tables.getData",
    ("bigquery", "tabledata.insertAll"): "tables.updateData",
}  # fmt: skip
# Resources whose permissions have another name than the messages.
_RESOURCE: Final = {
    ("tpu", "acceleratorTypes"): "acceleratortypes",
    ("tpu", "runtimeVersions"): "runtimeversions",
    ("tpu", "queuedResources"): "nodes",
    ("artifactregistry", "dockerImages"): "dockerimages",
    ("cloudquotas", "quotaInfos"): "quotas",
    ("cloudquotas", "quotaPreferences"): "quotas",
    ("monitoring", "serviceLevelObjectives"): "slos",
    ("monitoring", "timeSerieses"): "timeSeries",
    ("logging", "logEntrieses"): "logEntries",
}  # fmt: skip
_FREE_REST: Final = frozenset({
    "projects.list", "buckets.testIamPermissions", "projects.testIamPermissions",
    "projects.serviceAccount.get", "projects.getAncestry", "discovery",
})  # fmt: skip
_POLICY: Final = {"get_iam_policy": "getIamPolicy", "set_iam_policy": "setIamPolicy"}
# Kubernetes lets everybody who signs in ask about themselves.
_FREE_REVIEWS: Final = frozenset({
    "selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews",
})  # fmt: skip


def permission_for(asked: Asked) -> str:
    """The permission that a call needs, e.g. "container.clusters.get"; "" for none."""
    service, verb = asked.service, asked.verb
    if verb in _NONE or f"{verb}@{service}" in _NONE or asked.methods[0] in _FREE_REST:
        return ""
    if service == "kubernetes" and asked.group in _FREE_REVIEWS:
        return ""
    own = _SERVICE.get(service, service)
    known = _EXCEPTIONS.get((service, verb)) or _EXCEPTIONS.get((service, asked.methods[0]))
    if known:
        return f"{own}.{known}"
    if service == "container" and _CLUSTER_UPDATE.fullmatch(verb):
        return "container.clusters.update"
    if service == "aiplatform" and _ENDPOINT_PREDICT.fullmatch(verb):
        return "aiplatform.endpoints.predict"
    if service == "pubsub" and verb in _POLICY:
        kind = asked.resource.split("/")[2:3] or ["topics"]
        return f"pubsub.{kind[0]}.{_POLICY[verb]}"
    if service == "recommender":
        return _of_recommender(asked)
    if service == "iam" and verb == "get_role" and asked.resource.startswith("roles/"):
        return ""
    if service == "iam" and verb == "list_roles" and not asked.resources:
        return ""
    if "." in asked.methods[0] and "." not in verb:
        return f"{own}.{_of_collection(asked)}"
    return f"{own}.{_by_rule(service, asked)}"


def _of_recommender(asked: Asked) -> str:
    """By the recommender in the name: google.compute.disk.IdleResourceRecommender → computeDisk…"""
    parts = asked.resource.split("/")
    words = parts[5].removeprefix("google.").split(".") if len(parts) > 5 else [""]
    what = words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:])
    what = what.removesuffix("Recommender").removesuffix("Insight")
    told = "Insights" if parts[4:5] == ["insightTypes"] else "Recommendations"
    word = asked.verb.partition("_")[0]
    return f"recommender.{what}{told}.{'update' if word == 'mark' else word}"


def _of_collection(asked: Asked) -> str:
    """collection.verb of compute and of the REST-only APIs."""
    collection, _, method = asked.methods[0].partition(".")
    verb = _VERB.get(asked.verb, asked.verb)
    if method in ("getIamPolicy", "setIamPolicy") or re.match(r"set|switch|expand|resize", method):
        plain = collection in ("instanceGroups", "securityPolicies", "instanceGroupManagers")
        return f"{collection}.{'update' if plain else method}"
    if verb in ("create", "delete", "get", "list", "update", "getLogs", "exec"):
        return f"{collection}.{verb}"
    return f"{collection}.{'get' if re.match('get|list', verb) else 'update'}"


def _by_rule(service: str, asked: Asked) -> str:
    verb, _, rest = asked.verb.partition("_")
    if verb == "batch":
        verb, _, rest = rest.partition("_")
    if not rest:
        rest = asked.group.removesuffix("Service").lower()
    words = rest.split("_")
    name = words[0] + "".join(w.title() for w in words[1:])
    resource = name if name.endswith("s") and verb in ("list", "batch", "get", "enable") else (
        f"{name[:-1]}ies" if name.endswith("y") and not name.endswith("Key") else f"{name}s"
    )  # fmt: skip
    if name.endswith(("Series", "series", "Entries")):
        resource = name
    resource = _RESOURCE.get((service, resource), resource)
    return f"{resource}.{_VERB.get(verb, verb)}"
