"""The rehearsal: its document, its recording."""
