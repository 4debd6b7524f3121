"""The emulated Google APIs, one folder each (`model.py`, `api.py`, `build(cloud)`).

What every API shares on the wire lies in `emulator.wire`; README.md beside this package says how
an API is added.
"""
