"""Heartbeat: a matrix product timed on this machine, beside TPUs' limits and what was claimed."""

from __future__ import annotations

from ui import chrome, heartbeat_view

chrome.through_app()

heartbeat_view.draw()
