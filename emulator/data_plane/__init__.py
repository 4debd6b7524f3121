"""The load balancer's data plane: a port on which requests really follow the URL map.

What leads where is Compute's state (fronts.py), who may answer is what the health checks saw
(members.py), how long it takes is the world's (pace.py). The words are the inference server's of
this machine: it stands in for every server of the emulated tiers, and the answers say so.
"""
