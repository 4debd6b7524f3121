"""Pure rules and records: no I/O, no clock, no Streamlit, no SDK."""
