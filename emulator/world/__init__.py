"""The emulated cloud's one living world: demand, capacity, load, chips, incidents and cost.

A pure function of (scenario, seed, time, log of actions); nothing is stored per tick. No wire and
no Google type stands here: emulator/apis turns what the world says into answers.
"""
