"""Deploy a model on GKE: a bucket's weights into a volume, then every server rolled out with it.

The volume is Hyperdisk ML, filled by GKE's volume populator, read by all servers at once; the same
weights at the same size have the same volume, so that doing it again completes what is there. It
goes with the tier's namespace. Replicas on Vertex keep their model.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from core.actions.chain_steps import create_step, gke_part, is_whole, observe, present_of, site_of
from core.actions.context import PlanContext
from core.actions.rollouts import PERMISSIONS, effect, present_workload, rollout_step, workload_name
from core.actions.rollouts import observe as observe_template
from core.actions.steady_plan import steady_plan
from core.actions.tier_lookup import spec_of, word
from core.chain import Chain, Piece, Place, Site, tier_pieces
from core.chain.objects import SERVER, object_piece
from core.chain.pieces import PREFIX, Json
from core.cloud_resources import PLATFORM
from core.errors import PlanError
from core.plans import Plan, Request, Step
from core.records import Snapshot, Source
from core.specs import TIER_LABEL, TierSpec
from core.workload_template import serving, template_of, without_mark

ACTION: Final = "deploy_model"
READER_ROLE: Final = "roles/storage.objectViewer"
_OWN: Final = ("server-account", "namespace", "kube-account", "server-identity")  # of the chain
_BUCKET: Final = re.compile(r"gs://[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9](/[^\s*?#\[\]]*)?")
_GIB: Final = 2**30
_SPARE: Final = 1.2  # of a volume, for tokenizer and file system
_LEAST_GIB: Final = 4  # of a Hyperdisk ML
_MOST_GIB: Final = 65_536
_THROUGHPUT: Final = "2400Mi"  # MiB/s that all readers of the disk share


def plan_deploy_model(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that has all servers of a tier on GKE serve other weights.

    Parameters: `weights` (gs://bucket/folder), `model` (the name in requests), `size_gib` (whole
    number; else as the tier's settings say what its model weighs), `image` (of the server; else the
    same as now).

    Raises:
        PlanError: a parameter is wrong, the tier has no servers, or they serve exactly that.
    """
    spec = spec_of(snapshot, request)
    chain, present = model_chain(snapshot, request, context), present_of(context)
    workload = present_workload(context)
    name = workload_name(snapshot, spec, context)
    model, image = word(request, "model"), str(request.parameters.get("image", ""))
    before = without_mark(template_of(workload))
    after = serving(before, _claim_of(chain), model, image)
    if after == before:
        raise PlanError(f"{spec.title} serves {model} from there already.", resource=name)
    missing = [piece for piece in chain.pieces if not is_whole(piece, present)]
    keys = {piece.key for piece in missing}
    making = [create_step(piece, keys) for piece in missing]
    title = f"Roll out {model} on {spec.title}"
    rolling = rollout_step(name, workload, after, title, context)
    permissions = {p for piece in missing for p in piece.permissions}
    return steady_plan(
        snapshot,
        request,
        now,
        context,
        title=f"Deploy {model} on {spec.title} from {word(request, 'weights')}",
        steps=(*making, _after(rolling, making)),
        observed={**observe(chain.names, present), **observe_template(name, template_of(workload))},
        affected=(*effect(snapshot, spec, workload), *_notes(spec, keys)),
        permissions=tuple(sorted(permissions | set(PERMISSIONS[str(workload["kind"])]))),
        sources=(Source.GKE.value, Source.KUBE.value, Source.LOAD.value),
    )


def model_chain(snapshot: Snapshot, request: Request, context: PlanContext) -> Chain:
    """What the servers need to read the weights: account, right to read, class, source, claim.

    Raises:
        PlanError: a parameter is wrong, or the tier has no part on GKE.
    """
    spec = spec_of(snapshot, request)
    part = gke_part(spec)
    weights = word(request, "weights")
    if _BUCKET.fullmatch(weights) is None:
        raise PlanError(
            f"{weights!r} is no folder of a bucket.",
            resource=spec.name,
            hint="It is written gs://bucket/folder/",
        )
    site = site_of(part, context)
    own = [p for p in tier_pieces(spec, (Place(part, site, 1),)) if p.key in _OWN]
    known = {piece.key for piece in own}
    kept = [_only(piece, known) for piece in own]
    return Chain((*kept, *_weights_pieces(site, spec, weights, _size_gib(request, spec))))


def _size_gib(request: Request, spec: TierSpec) -> int:
    """Of the volume."""
    said = request.parameters.get("size_gib")
    if said is None and spec.model_parameters is not None:
        weight = spec.model_parameters * spec.weight_bytes_per_parameter * _SPARE / _GIB
        return max(_LEAST_GIB, math.ceil(weight))
    if isinstance(said, bool) or not isinstance(said, int) or not _LEAST_GIB <= said <= _MOST_GIB:
        raise PlanError(
            f"The parameter size_gib is {said!r}.",
            resource=spec.name,
            hint=f"size_gib is a whole number from {_LEAST_GIB} to {_MOST_GIB:,}",
        )
    return said


def _only(piece: Piece, known: set[str]) -> Piece:
    """The piece, needing no others than these: the rest of its chain is there or not asked for."""
    return replace(piece, needs=tuple(key for key in piece.needs if key in known))


def _weights_pieces(site: Site, spec: TierSpec, weights: str, size_gib: int) -> tuple[Piece, ...]:
    """The right to read the bucket, the class of disks, the source, the volume filled from it."""
    own, storage = f"namespaces/{spec.namespace}", f"{PREFIX}-weights-{site.zone}"
    short = f"weights-{hashlib.sha256(f'{weights} {size_gib}'.encode()).hexdigest()[:8]}"
    meta: Json = {"name": short, "namespace": spec.namespace, "labels": {TIER_LABEL: spec.name}}
    source = {
        "apiVersion": "datalayer.gke.io/v1",
        "kind": "GCPDataSource",
        "metadata": meta,
        "spec": {"cloudStorage": {"uri": weights, "serviceAccountName": SERVER}},
    }
    return (
        _reader_piece(site, spec),
        object_piece(
            site, PLATFORM, "weights-class", f"apis/storage.k8s.io/v1/storageclasses/{storage}",
            _class_body(site, storage), (),
        ),
        object_piece(
            site, spec.name, "weights-source",
            f"apis/datalayer.gke.io/v1/{own}/gcpdatasources/{short}", source,
            ("namespace",), "namespace",
        ),
        object_piece(
            site, spec.name, "weights-volume", f"api/v1/{own}/persistentvolumeclaims/{short}",
            _volume_body(meta, storage, size_gib),
            ("weights-class", "weights-source", "kube-account", "server-identity", "reader"),
            "namespace",
        ),
    )  # fmt: skip


def _reader_piece(site: Site, spec: TierSpec) -> Piece:
    email = site.email(f"{PREFIX}-{spec.name}-server")
    member = f"serviceAccount:{email}"
    binding = f"{site.project} --member={member} --role={READER_ROLE} --condition=None"
    return Piece(
        "reader", site.grant(READER_ROLE, member), f"right of {email} to read buckets", spec.name,
        {},
        f"gcloud projects add-iam-policy-binding {binding}",
        f"gcloud projects remove-iam-policy-binding {binding}",
        ("server-account",),
        ("resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"),
        goes_with="server-account",
    )  # fmt: skip


def _class_body(site: Site, storage: str) -> Json:
    zones = {"key": "topology.gke.io/zone", "values": [site.zone]}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": storage, "labels": {TIER_LABEL: PLATFORM}},
        "provisioner": "pd.csi.storage.gke.io",
        "volumeBindingMode": "Immediate",
        "allowedTopologies": [{"matchLabelExpressions": [zones]}],
        "parameters": {"type": "hyperdisk-ml", "provisioned-throughput-on-create": _THROUGHPUT},
    }


def _volume_body(meta: Json, storage: str, size_gib: int) -> Json:
    """Filled from the source that has its name."""
    source = {"apiGroup": "datalayer.gke.io", "kind": "GCPDataSource", "name": meta["name"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": storage,
            "resources": {"requests": {"storage": f"{size_gib}Gi"}},
            "dataSourceRef": source,
        },
    }


def _claim_of(chain: Chain) -> str:
    return str(chain.by_key["weights-volume"].body["metadata"]["name"])


def _after(rolling: Step, making: Sequence[Step]) -> Step:
    return replace(rolling, needs=tuple(step.key for step in making))


def _notes(spec: TierSpec, made: set[str]) -> list[str]:
    found: list[str] = []
    if "reader" in made:
        found.append(
            f"The account of {spec.title}'s servers may read every bucket of the project afterwards"
        )
    if "weights-volume" in made:
        found.append(
            "The disk is billed while it is there; its price is not in this plan. It goes with the"
            " tier's namespace"
        )
    return found
