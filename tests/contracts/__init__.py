"""The contract suite: the same tests against the emulator and, opted in, a real project."""
