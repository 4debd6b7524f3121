"""What a tier on GKE consists of, piece by piece, and what each piece needs: only data.

`platform.py` holds what all tiers share, `tier.py` what one tier has for itself, `objects.py` what
runs in the cluster, `watching.py` alerts, dashboard, logs and budget. Plans are made of the pieces
by `core/actions/`; making and deleting is `services/project/`'s.
"""

from core.chain.pieces import Chain, Piece, Site
from core.chain.platform import platform_pieces
from core.chain.tier import tier_pieces

__all__ = ["Chain", "Piece", "Site", "platform_pieces", "tier_pieces"]
