"""A piece of the chain, the names that all pieces share, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.cloud_resources import (
    AIPLATFORM,
    BIGQUERY,
    COMPUTE,
    CONTAINER,
    IAM,
    KUBERNETES,
    PROJECTS,
)
from core.specs import PartSpec

Json = Mapping[str, Any]

PREFIX: Final = "hw"
SERVER_PORT: Final = 8000
UNKNOWN: Final = "unknown: none was made from here yet"


@dataclass(frozen=True, slots=True)
class Piece:
    """One resource.

    Attributes:
        key: unique in the chain.
        name: full name.
        noun: what people call it; unlike any other's, since the record names steps by it.
        owner: a tier, or `core.cloud_resources.PLATFORM`.
        body: what is sent to make it, in the API's JSON form.
        needs: keys of the pieces that must be there before it, and that outlive it.
        make, remove: equivalent commands; "" where it is not made or not removed by itself.
        look: command that fails unless it is there, of what comes and goes with another piece and
            has to be waited for; "" where nothing has to be.
        permissions: what making and deleting it takes.
        goes_with: key of the piece with which it disappears; "": it is deleted by itself.
        kept: it is never deleted.
        expected_s, expected_source: how long making it usually takes; None: unknown.
        chips, slices: TPU chips and slices of the tier that come with it.
    """

    key: str
    name: str
    noun: str
    owner: str
    body: Json
    make: str
    remove: str
    needs: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    goes_with: str = ""
    kept: bool = False
    expected_s: float | None = None
    expected_source: str = UNKNOWN
    look: str = ""
    chips: int = 0
    slices: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """Where the chain stands.

    Attributes:
        project, region, zone: of all pieces.
        cluster, cluster_location: of the GKE cluster.
        billing_account: "billingAccounts/…"; "" when unknown.
        host: name in the balancer's certificate.
    """

    project: str
    region: str
    zone: str
    cluster: str
    cluster_location: str
    billing_account: str = ""
    host: str = ""

    def compute(self, path: str) -> str:
        """Full name of a resource of Compute, such as global/networks/N."""
        return f"//{COMPUTE}/projects/{self.project}/{path}"

    def link(self, path: str) -> str:
        """The same as other resources of Compute refer to it."""
        return f"projects/{self.project}/{path}"

    def account(self, name: str) -> str:
        """Full name of a service account."""
        return f"//{IAM}/projects/{self.project}/serviceAccounts/{self.email(name)}"

    def email(self, name: str) -> str:
        """A service account's address."""
        return f"{name}@{self.project}.iam.gserviceaccount.com"

    def grant(self, role: str, member: str, account: str = "") -> str:
        """Full name of a role on the project, or on a service account of that name."""
        on = f"projects/{self.project}"
        if account:
            on += f"/serviceAccounts/{self.email(account)}"
        quoted = (role.replace("/", "%2F"), member.replace("/", "%2F"))
        return f"//{PROJECTS}/{on}/{quoted[0]}/{quoted[1]}"

    @property
    def cluster_name(self) -> str:
        """Full name of the cluster."""
        return (
            f"//{CONTAINER}/projects/{self.project}/locations/{self.cluster_location}"
            f"/clusters/{self.cluster}"
        )

    @property
    def context(self) -> str:
        """The cluster's name in kubectl's configuration, as gcloud writes it."""
        return kube_context(self.project, self.cluster_location, self.cluster)

    def vertex(self, path: str) -> str:
        """Full name of a resource of Vertex, such as endpoints/E."""
        return f"//{AIPLATFORM}/projects/{self.project}/locations/{self.region}/{path}"

    def object(self, path: str) -> str:
        """Full name of an object in the cluster, by the path of the Kubernetes API."""
        return f"{self.cluster_name}{KUBERNETES}{path}"

    def dataset(self, name: str) -> str:
        """Full name of a dataset."""
        return f"//{BIGQUERY}/projects/{self.project}/datasets/{name}"

    @property
    def url_map(self) -> str:
        """The balancer's URL map, proxy and forwarding rule have this name."""
        return self.cluster


@dataclass(frozen=True, slots=True)
class VertexNames:
    """Ids of an endpoint, of the model, and of the deployment of one on the other."""

    endpoint: str
    model: str
    deployed: str


_NO_NAMES: Final = VertexNames("", "", "")


@dataclass(frozen=True, slots=True)
class Place:
    """One part of a tier: where it stands, and how much of it is asked for.

    Attributes:
        slices: node-slices, TPU nodes or replicas.
        queued: TPU nodes come through queued resources, which wait for chips.
        spot: chips that may be taken away at any time.
        reservation: name of the reservation that the chips come from; "": on demand.
        image: of the servers on Vertex; "": the usual one.
        names: of what is on Vertex.
    """

    part: PartSpec
    site: Site
    slices: int
    queued: bool = False
    spot: bool = False
    reservation: str = ""
    image: str = ""
    names: VertexNames = _NO_NAMES


def kube_context(project: str, location: str, cluster: str) -> str:
    """What `gcloud container clusters get-credentials` calls a cluster for kubectl."""
    return f"gke_{project}_{location}_{cluster}"


class Chain:
    """Pieces by key, in an order in which each stands behind what it needs."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces: Final = tuple(pieces)
        self.by_key: Final = {piece.key: piece for piece in self.pieces}

    @property
    def names(self) -> tuple[str, ...]:
        """Full names of all pieces."""
        return tuple(piece.name for piece in self.pieces)

    def needed_by(self, key: str) -> tuple[Piece, ...]:
        """The pieces that need that one directly."""
        return tuple(piece for piece in self.pieces if key in piece.needs)
