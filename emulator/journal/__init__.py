"""What outlives the process: accepted changes in a journal, made again at the next start.

`file.py` is the journal's format, `folder.py` the state directory, `reading.py` says which calls
only read, `changes.py` and `http.py` make changes and write them down, `replay.py` makes those of
earlier processes again. What a change does is each API's business.
"""
