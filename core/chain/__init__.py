"""What a tier consists of, piece by piece, and what each piece needs: only data.

`platform.py` holds what all tiers share, `tier.py` what one tier has for itself, `objects.py` what
runs in the cluster, `tpu_vm.py` nodes of the Cloud TPU API, `vertex.py` replicas on Vertex,
`watching.py` alerts, dashboard, logs and budget. Plans are made of the pieces
by `core/actions/`; making and deleting is `services/project/`'s.
"""

from core.chain.pieces import Chain, Piece, Place, Site, VertexNames
from core.chain.platform import platform_pieces
from core.chain.tier import tier_pieces

__all__ = ["Chain", "Piece", "Place", "Site", "VertexNames", "platform_pieces", "tier_pieces"]
