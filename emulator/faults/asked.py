"""What a call asks for, in the words that rules and permissions are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from emulator.wire.codec import plain
from emulator.wire.library import Method

# Fields that name what a call is about, the most telling first.
_NAMES: Final = (
    "name",
    "resource",
    "parent",
    "endpoint",
    "project_name",
    "log_name",
    "bucket",
    "subscription",
    "topic",
    "snapshot",
)
_OLD_GKE: Final = (("project_id", "projects"), ("zone", "locations"), ("cluster_id", "clusters"),
                   ("node_pool_id", "nodePools"), ("operation_id", "operations"))  # fmt: skip
# Texts in compute's requests that are no part of the resource's name.
_NOT_COMPUTE: Final = frozenset({"filter", "order_by", "page_token", "request_id"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One call.

    Attributes:
        service: the API's name without its domain, e.g. "container"; "kubernetes" for clusters.
        host: e.g. "container.googleapis.com"; "" for Kubernetes.
        methods: the method's names, the plainest first: "CreateNodePool", "create_node_pool",
            "ClusterManager.CreateNodePool"; for REST-only APIs "backendServices.get".
        resources: names of what it is about, the most special first; may be empty.
        group: the library's class of services, e.g. "ClusterManager"; the collection for REST.
        verb: the handler's name, e.g. "create_node_pool"; "list" for REST collections.
    """

    service: str
    host: str
    methods: tuple[str, ...]
    resources: tuple[str, ...]
    group: str
    verb: str

    @property
    def resource(self) -> str:
        """The most special name; "" when the call names nothing."""
        return self.resources[0] if self.resources else ""


def asked_of(method: Method, request: Any, fallback_host: str = "") -> Asked:
    """What a call of a library's method asks for; `fallback_host` names a mix-in's API."""
    host = method.host or fallback_host
    group = method.service.rsplit(".", 1)[-1]
    return Asked(
        host.partition(".")[0], host, method_names(method), tuple(_resources(plain(request))),
        group, method.name,
    )  # fmt: skip


def method_names(method: Method) -> tuple[str, ...]:
    """The names under which a rule may give a method."""
    group = method.service.rsplit(".", 1)[-1]
    camel = method.rpc[:1].lower() + method.rpc[1:]
    names = (method.rpc, method.name, f"{group}.{method.rpc}")
    if method.grpc_path:
        return names
    # Compute has the same verbs in every collection: there the plainest name is collection.verb.
    return (f"{group[:1].lower()}{group[1:]}.{camel}", *names[2:], method.name, method.rpc)


def _resources(message: Message) -> list[str]:
    fields = message.DESCRIPTOR.fields_by_name
    texts = {n: str(getattr(message, n)) for n in fields
             if fields[n].message_type is None and not fields[n].is_repeated}  # fmt: skip
    found = [texts[n] for n in _NAMES if texts.get(n) and "/" in texts[n]]
    for name, field in fields.items():
        if field.message_type is None or field.is_repeated or not message.HasField(name):
            continue
        inner = getattr(message, name)
        own = getattr(inner, "name", "")
        if not isinstance(own, str) or not own:
            continue
        if "/" in own:
            found.insert(0, own)
        elif texts.get("parent"):
            found.insert(0, f"{texts['parent']}/{_plural(name)}/{own}")
    for name, value in texts.items():
        if name.endswith("_id") and value and texts.get("parent"):
            found.insert(0, f"{texts['parent']}/{_plural(name[:-3])}/{value}")
    if texts.get("project", "").startswith("projects/"):
        found.append(texts["project"])
    if "project" in texts and texts["project"] and not found:
        found.append(_compute_name(message, texts))
    if not found and texts.get("project_id"):
        found.append("/".join(f"{kind}/{texts[n]}" for n, kind in _OLD_GKE if texts.get(n)))
    return found


def _compute_name(message: Message, texts: dict[str, str]) -> str:
    """projects/P/zones/Z/… of a compute request, whose fields hold the parts."""
    scope = "global"
    for kind in ("zone", "region"):
        if texts.get(kind):
            scope = f"{kind}s/{texts[kind]}"
    base = f"projects/{texts['project']}/{scope}"
    for name, value in texts.items():
        if name in ("project", "zone", "region") or name in _NOT_COMPUTE or not value:
            continue
        if message.DESCRIPTOR.fields_by_name[name].type != FieldDescriptor.TYPE_STRING:
            continue
        return f"{base}/{_plural(name)}/{value}"
    for name, field in message.DESCRIPTOR.fields_by_name.items():
        if name.endswith("_resource") and field.message_type and message.HasField(name):
            own = getattr(getattr(message, name), "name", "")
            if own:
                return f"{base}/{_plural(name.removesuffix('_resource'))}/{own}"
    return base


def _plural(name: str) -> str:
    """ "node_pool" → "nodePools"."""
    first, *rest = name.split("_")
    camel = first + "".join(part.title() for part in rest)
    if camel.endswith("y"):
        return f"{camel[:-1]}ies"
    if camel.endswith("s"):
        return camel if camel.endswith("ics") else f"{camel}es"
    return camel if camel.endswith("Alias") else f"{camel}s"
