"""Pods of the project's own serving image as real processes of this machine (`--local-pods`).

A node "this-machine" joins the emulated cluster, with a kubelet of its own (kubelet.py): for each
pod that the scheduler puts there it starts `python -m serving` (containers.py, processes.py) and
reports what becomes of it. It calls the emulator over HTTP as a kubelet calls its API server
(wire.py), so that its reports are changes like any caller's: the journal makes them again without
any process. setup.py makes what has to be there: node, Deployment, and the backend that the load
balancer leads /local/* to.
"""
