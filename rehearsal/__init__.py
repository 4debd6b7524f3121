"""The rehearsal of docs/rehearsal.md: run with the ordinary commands, recorded, replayed."""
