"""The server's HTTP side: routes, request schemas, streaming and errors."""
