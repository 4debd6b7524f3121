"""Scenarios as files, one TOML each; `files.py` reads them (docs/how-to-add-a-scenario.md)."""
