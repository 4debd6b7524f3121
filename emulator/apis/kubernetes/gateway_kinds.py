"""The kinds that GKE installs with the Gateway API (standard channel), and their schemas.

Schemas are written after the published API references, as far as a serving project meets them:
Gateway, GatewayClass and HTTPRoute v1, InferencePool v1. What their CRDs check by CEL stands in
`check_pool` and `check_route`.
"""

from __future__ import annotations

from typing import Any, Final

from emulator.apis.kubernetes.causes import Causes
from emulator.apis.kubernetes.resources import Column, Kind
from emulator.apis.kubernetes.schema import REF

Obj = dict[str, Any]
GROUP: Final = "gateway.networking.k8s.io"
_TEXT: Final = {"type": "string"}
_NAME: Final = _TEXT | {"minLength": 1, "maxLength": 253}
_SPACE: Final = _TEXT | {"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "minLength": 1,
                         "maxLength": 63}  # fmt: skip
_KIND: Final = _TEXT | {"pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", "minLength": 1,
                        "maxLength": 63}  # fmt: skip
_GROUP: Final = _TEXT | {"maxLength": 253}
_PORT: Final = {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}
_HOST: Final = _TEXT | {
    "minLength": 1, "maxLength": 253,
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}  # fmt: skip
_SECONDS: Final = _TEXT | {"pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
_WAITING: Final = {
    "lastTransitionTime": "1970-01-01T00:00:00Z", "message": "Waiting for controller",
    "reason": "Pending", "status": "Unknown",
}  # fmt: skip


def _object(required: tuple[str, ...] = (), /, **properties: Any) -> Obj:
    built: Obj = {"type": "object", "properties": properties}
    return built | {"required": list(required)} if required else built


def _list(items: Any, **more: Any) -> Obj:
    return {"type": "array", "items": items, "x-kubernetes-list-type": "atomic", **more}


def _keyed(items: Any, key: str, **more: Any) -> Obj:
    keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return {"type": "array", "items": items, **keys, **more}


_CONDITIONS: Final = _keyed({"$ref": REF + "V1Condition"}, "type", maxItems=8)
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}


def _reference(group: str, kind: str, **more: Any) -> Obj:
    return _object(
        ("name",), group=_GROUP | {"default": group}, kind=_KIND | {"default": kind}, name=_NAME,
        **more,
    )  # fmt: skip


_PARENT: Final = _reference(GROUP, "Gateway", namespace=_SPACE, sectionName=_NAME, port=_PORT)
_PARENTS: Final = _list(
    _object(("controllerName", "parentRef"), parentRef=_PARENT, controllerName=_TEXT,
            conditions=_CONDITIONS), maxItems=32,
)  # fmt: skip
_CLASS_SCHEMA: Final = _object(
    ("spec",),
    spec=_object(
        ("controllerName",), controllerName=_TEXT | {"minLength": 1, "maxLength": 253},
        description=_TEXT | {"maxLength": 64},
        parametersRef=_object(("group", "kind", "name"), group=_GROUP, kind=_KIND, name=_NAME,
                              namespace=_SPACE),
    ),
    status=_object(conditions=_CONDITIONS, supportedFeatures=_list(_object(("name",), name=_TEXT))),
)  # fmt: skip
_LISTENER: Final = _object(
    ("name", "port", "protocol"),
    name=_NAME, hostname=_HOST, port=_PORT,
    protocol=_TEXT | {"minLength": 1, "maxLength": 255,
                      "pattern": r"^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(\/[A-Za-z0-9]+)?$"},
    tls=_object(
        mode=_TEXT | {"enum": ["Terminate", "Passthrough"], "default": "Terminate"},
        certificateRefs=_list(_reference("", "Secret", namespace=_SPACE), maxItems=64),
        options=_TEXTS,
    ),
    allowedRoutes=_object(
        namespaces=_object(
            **{"from": _TEXT | {"enum": ["All", "Selector", "Same"], "default": "Same"}},
            selector={"$ref": REF + "V1LabelSelector"},
        ) | {"default": {"from": "Same"}},
        kinds=_list(_object(("kind",), group=_GROUP | {"default": GROUP}, kind=_KIND), maxItems=8),
    ) | {"default": {"namespaces": {"from": "Same"}}},
)  # fmt: skip
_GATEWAY_SCHEMA: Final = _object(
    ("spec",),
    spec=_object(
        ("gatewayClassName", "listeners"), gatewayClassName=_NAME,
        listeners=_keyed(_LISTENER, "name", minItems=1, maxItems=64),
        addresses=_list(_object(type=_TEXT | {"default": "IPAddress"}, value=_NAME), maxItems=16),
        infrastructure=_object(labels=_TEXTS, annotations=_TEXTS),
    ),
    status=_object(
        addresses=_list(_object(("value",), type=_TEXT | {"default": "IPAddress"}, value=_NAME)),
        conditions=_CONDITIONS,
        listeners=_keyed(
            _object(("attachedRoutes", "conditions", "name"), name=_NAME,
                    attachedRoutes={"type": "integer", "format": "int32"}, conditions=_CONDITIONS,
                    supportedKinds=_list(_object(("kind",), group=_GROUP, kind=_KIND))),
            "name",
        ),
    ) | {"default": {"conditions": [_WAITING | {"type": name}
                                    for name in ("Accepted", "Programmed")]}},
)  # fmt: skip
_PATH: Final = {"type": "PathPrefix", "value": "/"}
_HEADER: Final = _object(
    ("name", "value"), type=_TEXT | {"enum": ["Exact", "RegularExpression"], "default": "Exact"},
    name=_NAME, value=_TEXT | {"minLength": 1, "maxLength": 4096},
)  # fmt: skip
_SET: Final = _keyed(_object(("name", "value"), name=_NAME, value=_TEXT), "name", maxItems=16)
_MODIFIER: Final = _object(set=_SET, add=_SET, remove=_list(_TEXT, maxItems=16))
_REWRITE: Final = _object(
    ("type",), type=_TEXT | {"enum": ["ReplaceFullPath", "ReplacePrefixMatch"]},
    replaceFullPath=_TEXT | {"maxLength": 1024}, replacePrefixMatch=_TEXT | {"maxLength": 1024},
)  # fmt: skip
_FILTER: Final = _object(
    ("type",),
    type=_TEXT | {"enum": ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror",
                           "RequestRedirect", "URLRewrite", "ExtensionRef"]},
    requestHeaderModifier=_MODIFIER, responseHeaderModifier=_MODIFIER,
    requestMirror=_object(("backendRef",), backendRef=_reference(
        "", "Service", namespace=_SPACE, port=_PORT)),
    requestRedirect=_object(
        scheme=_TEXT | {"enum": ["http", "https"]}, hostname=_HOST, path=_REWRITE, port=_PORT,
        statusCode={"type": "integer", "enum": [301, 302, 303, 307, 308], "default": 302}),
    urlRewrite=_object(hostname=_HOST, path=_REWRITE),
    extensionRef=_object(("group", "kind", "name"), group=_GROUP, kind=_KIND, name=_NAME),
)  # fmt: skip
_FILTERS: Final = _list(_FILTER, maxItems=16)
_MATCHES: Final = _list(
    _object(
        path=_object(
            type=_TEXT | {"enum": ["Exact", "PathPrefix", "RegularExpression"],
                          "default": "PathPrefix"},
            value=_TEXT | {"maxLength": 1024, "default": "/"},
        ) | {"default": _PATH},
        headers=_keyed(_HEADER, "name", maxItems=16),
        queryParams=_keyed(_HEADER, "name", maxItems=16),
        method=_TEXT | {"enum": ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS",
                                 "TRACE", "PATCH"]},
    ),
    maxItems=64, default=[{"path": _PATH}],
)  # fmt: skip
_BACKEND: Final = _reference(
    "", "Service", namespace=_SPACE, port=_PORT, filters=_FILTERS,
    weight={"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000, "default": 1},
)  # fmt: skip
_ROUTE_SCHEMA: Final = _object(
    ("spec",),
    spec=_object(
        parentRefs=_list(_PARENT, maxItems=32), hostnames=_list(_HOST, maxItems=16),
        rules=_list(
            _object(name=_NAME, matches=_MATCHES, filters=_FILTERS,
                    backendRefs=_list(_BACKEND, maxItems=16),
                    timeouts=_object(request=_SECONDS, backendRequest=_SECONDS)),
            minItems=1, maxItems=16, default=[{"matches": [{"path": _PATH}]}],
        ),
    ),
    status=_object(("parents",), parents=_PARENTS),
)  # fmt: skip
_LABEL: Final = _TEXT | {"maxLength": 63,
                         "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}  # fmt: skip
_POOL_SCHEMA: Final = _object(
    ("spec",),
    spec=_object(
        ("endpointPickerRef", "selector", "targetPorts"),
        selector=_object(("matchLabels",), matchLabels={
            "type": "object", "additionalProperties": _LABEL}),
        targetPorts=_list(_object(("number",), number=_PORT), minItems=1, maxItems=8),
        endpointPickerRef=_reference(
            "", "Service", port=_object(("number",), number=_PORT),
            failureMode=_TEXT | {"enum": ["FailOpen", "FailClose"], "default": "FailClose"}),
    ),
    status=_object(parents=_list(
        _object(("parentRef",), conditions=_CONDITIONS, controllerName=_TEXT,
                parentRef=_reference(GROUP, "Gateway", namespace=_SPACE)), maxItems=32)),
)  # fmt: skip


def _kind(
    group: str, plural: str, name: str, columns: tuple[Column, ...], schema: Obj, *short: str,
    namespaced: bool = True,
) -> Kind:  # fmt: skip
    age = Column("Age", "date", path=".metadata.creationTimestamp")
    shown = (Column("Name", format="name"), *columns, age)
    categories = ("gateway-api",) if group == GROUP else ()
    return Kind(group, "v1", plural, name, namespaced, shown, short, (), categories,
                subresources=("status",), schema=schema)  # fmt: skip


GATEWAY_CLASSES: Final = _kind(
    GROUP, "gatewayclasses", "GatewayClass",
    (Column("Controller", path=".spec.controllerName"),
     Column("Accepted", path='.status.conditions[?(@.type=="Accepted")].status')),
    _CLASS_SCHEMA, "gc", namespaced=False,
)  # fmt: skip
GATEWAYS: Final = _kind(
    GROUP, "gateways", "Gateway",
    (Column("Class", path=".spec.gatewayClassName"),
     Column("Address", path=".status.addresses[*].value"),
     Column("Programmed", path='.status.conditions[?(@.type=="Programmed")].status')),
    _GATEWAY_SCHEMA, "gtw",
)  # fmt: skip
ROUTES: Final = _kind(
    GROUP, "httproutes", "HTTPRoute", (Column("Hostnames", path=".spec.hostnames"),), _ROUTE_SCHEMA
)
POOLS: Final = _kind(
    "inference.networking.k8s.io", "inferencepools", "InferencePool", (), _POOL_SCHEMA, "infpool"
)
GATEWAY_KINDS: Final = (GATEWAY_CLASSES, GATEWAYS, ROUTES, POOLS)


def check_pool(body: Obj, causes: Causes) -> None:
    """Rules of an InferencePool: a Service is named with its port."""
    picker = body["spec"]["endpointPickerRef"]
    if picker.get("kind", "Service") == "Service" and "port" not in picker:
        words = "port is required when kind is 'Service' or unspecified (defaults to 'Service')"
        causes.invalid("spec.endpointPickerRef", "object", words)


def check_route(body: Obj, causes: Causes) -> None:
    """Rules of an HTTPRoute: a Service is named with its port, a filter brings its settings."""
    for index, rule in enumerate(body.get("spec", {}).get("rules", ())):
        where = f"spec.rules[{index}]"
        for place, ref in enumerate(rule.get("backendRefs", ())):
            service = (ref.get("group", ""), ref.get("kind", "Service")) == ("", "Service")
            if service and "port" not in ref:
                words = "Must have port for Service reference"
                causes.invalid(f"{where}.backendRefs[{place}]", "object", words)
        for place, one in enumerate(rule.get("filters", ())):
            field = one["type"].replace("URL", "url")
            field = field[:1].lower() + field[1:]
            if field not in one:
                words = f"filter.{field} must be specified for {one['type']} filter.type"
                causes.invalid(f"{where}.filters[{place}]", "object", words)
