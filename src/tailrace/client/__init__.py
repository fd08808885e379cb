"""The Python client: talks to a server only over HTTP."""
