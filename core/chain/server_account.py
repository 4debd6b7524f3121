"""The service account that a tier's servers run as, wherever they run."""

from __future__ import annotations

from core.chain.pieces import PREFIX, Piece, Site
from core.cloud_resources import mark
from core.specs import TierSpec


def server_account(site: Site, spec: TierSpec) -> Piece:
    """The account; its roles are what runs the servers needs."""
    name = f"{PREFIX}-{spec.name}-server"
    project = f"--project={site.project}"
    return Piece(
        "server-account", site.account(name), f"service account {name}", spec.name,
        {"displayName": f"Server of {spec.title}", "description": mark(spec.name)},
        f'gcloud iam service-accounts create {name} --display-name="Server of {spec.title}"'
        f" --description='{mark(spec.name)}' {project}",
        f"gcloud iam service-accounts delete {site.email(name)} {project} --quiet",
        ("api-iam",), ("iam.serviceAccounts.create", "iam.serviceAccounts.delete"),
    )  # fmt: skip
