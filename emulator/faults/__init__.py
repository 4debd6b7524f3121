"""Faults by rule: what goes wrong, for which calls, how often and for how long.

`gate.py` is what every call passes; `rules.py` says what a rule may hold, `presets.py` which have
names, `book.py` keeps them, `states.py` brings those about that are a state and not an answer.
"""
