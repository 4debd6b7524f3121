"""Imports of the SDKs: no more than is needed, and nothing lost for who wants more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """
import sys
from core.records import Source
from services.clients import Clients, CloudTarget
from services.sdk_imports import import_sdk
clients = Clients(CloudTarget("emulator", "p", rest_url="http://127.0.0.1:1", grpc_target="h:1"))
for source in Source:
    import_sdk(source)
"""


def _run(code: str) -> None:
    """In a process of its own: the imports of other tests would hide what is imported here."""
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_only_the_services_in_use_are_imported() -> None:
    """The large packages' other services cost 115 MB; every client is built without them."""
    _run(
        "clients.vertex_endpoints('r'), clients.url_maps(), clients.backend_services()\n"
        "clients.forwarding_rules(), clients.instance_groups()\n"
        "import services.load_balancer\n"
        "large = ('google.cloud.compute_v1.services.', 'google.cloud.aiplatform_v1.services.')\n"
        "found = {m.split('.')[4] for m in sys.modules if m.startswith(large)}\n"
        "used = {'backend_services', 'global_forwarding_rules', 'instance_group_managers',\n"
        "        'url_maps', 'endpoint_service', 'machine_types', 'reservations'}\n"
        "theirs = {'global_operations', 'zone_operations'}  # which those import themselves\n"
        "assert used <= found <= used | theirs, found\n"
    )


def test_a_deferred_package_is_whole_for_who_asks() -> None:
    """Another library in the process may want any name of it, in any way of importing."""
    _run(
        "from google.cloud import compute_v1\n"
        "import google.cloud.compute_v1\n"
        "from google.cloud.compute_v1 import AddressesClient, UrlMapsClient\n"
        "from google.cloud.compute_v1.types import Instance\n"
        "assert google.cloud.compute_v1 is compute_v1\n"
        "assert UrlMapsClient is type(clients.url_maps())\n"
        "assert Instance(name='n') == compute_v1.Instance(name='n')\n"
        "assert len(compute_v1.__all__) > 1000\n"
        "assert not hasattr(compute_v1, 'no_such_name')\n"
    )
