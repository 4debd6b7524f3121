"""A tier's nodes of the Cloud TPU API, each a server of its own, and what they need.

They run the same server as on GKE, started by the node's start-up script. Nothing balances them:
clients in the network call each by its address. The API has no TPU7x.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from core import tpu
from core.chain.objects import IMAGE, SERVER, serve_command
from core.chain.pieces import PREFIX, SERVER_PORT, Json, Piece, Place, Site
from core.chain.server_account import server_account
from core.cloud_resources import TPU, mark
from core.specs import TIER_LABEL, TierSpec

LOGS_ROLE: Final = "roles/logging.logWriter"
METRICS_ROLE: Final = "roles/monitoring.metricWriter"
_CLIENTS: Final = "10.0.0.0/8"  # addresses inside the network
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def node_pieces(place: Place, spec: TierSpec) -> Iterator[Piece]:
    """The pieces, in order: the servers' account with its roles, who may call them, the nodes."""
    site = place.site
    yield server_account(site, spec)
    yield _role(site, spec, "logs-role", LOGS_ROLE)
    yield _role(site, spec, "metrics-role", METRICS_ROLE)
    yield _clients(site, spec)
    for index in range(place.slices):
        yield from _node(place, spec, index)


def _email(site: Site, spec: TierSpec) -> str:
    return site.email(f"{PREFIX}-{spec.name}-server")


def _role(site: Site, spec: TierSpec, key: str, role: str) -> Piece:
    """A role without which the node's agent writes neither logs nor metrics."""
    member = f"serviceAccount:{_email(site, spec)}"
    what = f"{site.project} --member={member} --role={role} --condition=None"
    return Piece(
        key, site.grant(role, member), f"{role} of {_email(site, spec)}", spec.name, {},
        f"gcloud projects add-iam-policy-binding {what}",
        f"gcloud projects remove-iam-policy-binding {what}",
        ("server-account", "api-cloudresourcemanager"), ("resourcemanager.projects.setIamPolicy",),
        goes_with="server-account",
    )  # fmt: skip


def _clients(site: Site, spec: TierSpec) -> Piece:
    name = f"{PREFIX}-{spec.name}-clients"
    project = f"--project={site.project}"
    return Piece(
        "clients", site.compute(f"global/firewalls/{name}"), f"firewall rule {name}", spec.name,
        {"network": site.link(f"global/networks/{PREFIX}-net"), "direction": "INGRESS",
         "sourceRanges": [_CLIENTS], "targetTags": [_tag(spec)],
         "allowed": [{"IPProtocol": "tcp", "ports": [str(SERVER_PORT)]}],
         "description": mark(spec.name)},
        f"gcloud compute firewall-rules create {name} --network={PREFIX}-net --direction=INGRESS"
        f" --allow=tcp:{SERVER_PORT} --source-ranges={_CLIENTS} --target-tags={_tag(spec)}"
        f" --description='{mark(spec.name)}' {project}",
        f"gcloud compute firewall-rules delete {name} {project} --quiet",
        ("network",), ("compute.firewalls.create", "compute.firewalls.delete"),
    )  # fmt: skip


def _tag(spec: TierSpec) -> str:
    return f"{PREFIX}-{spec.name}"


def _node(place: Place, spec: TierSpec, index: int) -> Iterator[Piece]:
    """A node, or a queued resource and the node that comes of it."""
    site, name = place.site, f"{place.part.name_prefix.rstrip('-')}-{index:02d}"
    parent, body = f"projects/{site.project}/locations/{site.zone}", _body(place, spec)
    ends = f"--zone={site.zone} --project={site.project}"
    look = f"gcloud compute tpus tpu-vm describe {name} {ends}"
    remove = f"gcloud compute tpus tpu-vm delete {name} {ends} --quiet"
    needs = ("api-tpu", "subnet", "clients", "logs-role", "metrics-role")
    permissions = ("tpu.nodes.create", "tpu.nodes.delete", "iam.serviceAccounts.actAs")
    full, chips = f"//{TPU}/{parent}/nodes/{name}", tpu.chips(spec.topology)
    if not place.queued:
        make = f"gcloud compute tpus tpu-vm create {name} --version={body['runtimeVersion']}"
        yield Piece(
            f"node-{index:02d}", full, f"TPU node {name}", spec.name, body,
            _make(make, place, spec, body, ends), remove, needs, permissions,
            chips=chips, slices=1,
        )  # fmt: skip
        return
    queue = f"//{TPU}/{parent}/queuedResources/{name}"
    asked = {"nodeSpec": [{"parent": parent, "nodeId": name, "node": body}]}
    make = (
        f"gcloud compute tpus queued-resources create {name} --node-id={name}"
        f" --runtime-version={body['runtimeVersion']}"
    )
    yield Piece(
        f"queue-{index:02d}", queue, f"queued resource {name}", spec.name,
        {"tpu": asked, **({"spot": {}} if place.spot else {})},
        _make(make, place, spec, body, ends),
        f"gcloud compute tpus queued-resources delete {name} {ends} --quiet", needs, permissions,
    )  # fmt: skip
    yield Piece(
        f"node-{index:02d}", full, f"TPU node {name}", spec.name, {}, "", remove,
        (f"queue-{index:02d}",), permissions, look=look, chips=chips, slices=1,
    )  # fmt: skip


def _make(what: str, place: Place, spec: TierSpec, body: Json, ends: str) -> str:
    """The command that makes a node or queues for it."""
    network = body["networkConfig"]
    spot = " --spot" if place.spot else ""
    return (
        f"{what} --accelerator-type={_accelerator_type(spec)}"
        f" --network={network['network']} --subnetwork={network['subnetwork']}"
        f" --service-account={body['serviceAccount']['email']}"
        f" --scopes={_SCOPE} --tags={_tag(spec)} --labels={TIER_LABEL}={spec.name}{spot}"
        f" --metadata-from-file=startup-script=/dev/stdin {ends}"
        f" <<'SH'\n{body['metadata']['startup-script']}\nSH"
    )


def _accelerator_type(spec: TierSpec) -> str:
    """The shape as gcloud takes it, whose --type knows no newer generation than v4."""
    gen, chips = tpu.generation(spec.generation or ""), tpu.chips(spec.topology)
    count = chips * gen.tensor_cores if gen is tpu.V5P else chips
    return f"{(gen.tpu_api_type or '').lower().replace('_', '')}-{count}"


def _body(place: Place, spec: TierSpec) -> Json:
    """A node as the API's JSON has it; an address outside, for the image is in Docker Hub."""
    site, gen = place.site, tpu.generation(spec.generation or "")
    return {
        "acceleratorConfig": {"type": gen.tpu_api_type, "topology": spec.topology},
        "runtimeVersion": gen.tpu_api_runtime,
        "networkConfig": {
            "network": site.link(f"global/networks/{PREFIX}-net"),
            "subnetwork": site.link(f"regions/{site.region}/subnetworks/{PREFIX}-subnet"),
            "enableExternalIps": True,
        },
        "serviceAccount": {"email": _email(site, spec), "scope": [_SCOPE]},
        "labels": {TIER_LABEL: spec.name},
        "tags": [_tag(spec)],
        "metadata": {"startup-script": _script(spec, gen)},
        **({"schedulingConfig": {"spot": True}} if place.spot else {}),
    }


def _script(spec: TierSpec, gen: tpu.Generation) -> str:
    """Runs at each start of the node; the server of an earlier one gives way."""
    run = ("docker", "run", "--detach", "--restart=always", "--privileged", "--net=host")
    start = shlex.join((*run, f"--name={SERVER}", IMAGE, *serve_command(spec, gen)))
    return f"#! /bin/bash\ndocker rm --force {SERVER} || true\n{start}"


def describe(spec: TierSpec, site: Site) -> str:
    """Who is served by such nodes, in a sentence."""
    return (
        f"{spec.title}'s nodes do not stand behind the load balancer: clients inside the network"
        f" call each by its address, port {SERVER_PORT}, in {site.zone}"
    )
