"""HTTP rules of google.logging.v2, from Google's discovery document."""

from __future__ import annotations

from typing import Final

from emulator.wire.library import HttpRule

_SINK: Final = "/v2/{sink_name=*/*/sinks/*}"
_METRIC: Final = "/v2/{metric_name=projects/*/metrics/*}"
_BUCKET: Final = "projects/*/locations/*/buckets/*"

ENTRIES: Final = {
    "write_log_entries": (HttpRule("POST", "/v2/entries:write", "*"),),
    "list_log_entries": (HttpRule("POST", "/v2/entries:list", "*"),),
    "list_logs": (
        HttpRule("GET", "/v2/{parent=*/*}/logs"),
        HttpRule("GET", f"/v2/{{parent={_BUCKET}/views/*}}/logs"),
    ),
    "delete_log": (HttpRule("DELETE", "/v2/{log_name=*/*/logs/*}"),),
    "list_monitored_resource_descriptors": (HttpRule("GET", "/v2/monitoredResourceDescriptors"),),
}
CONFIG: Final = {
    "list_sinks": (HttpRule("GET", "/v2/{parent=*/*}/sinks"),),
    "get_sink": (HttpRule("GET", _SINK),),
    "create_sink": (HttpRule("POST", "/v2/{parent=*/*}/sinks", "sink"),),
    "update_sink": (HttpRule("PUT", _SINK, "sink"), HttpRule("PATCH", _SINK, "sink")),
    "delete_sink": (HttpRule("DELETE", _SINK),),
    "list_buckets": (HttpRule("GET", "/v2/{parent=projects/*/locations/*}/buckets"),),
    "get_bucket": (HttpRule("GET", f"/v2/{{name={_BUCKET}}}"),),
}
METRICS: Final = {
    "list_log_metrics": (HttpRule("GET", "/v2/{parent=projects/*}/metrics"),),
    "get_log_metric": (HttpRule("GET", _METRIC),),
    "create_log_metric": (HttpRule("POST", "/v2/{parent=projects/*}/metrics", "metric"),),
    "update_log_metric": (HttpRule("PUT", _METRIC, "metric"),),
    "delete_log_metric": (HttpRule("DELETE", _METRIC),),
}
