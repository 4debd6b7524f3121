"""All Streamlit code that pages share; what a page draws is derived in `core/`, never here."""
