"""Ingress: a folder per wire. `request.py` says it, `decode.py` hears it, `quirks.py` knows who differs. Pure."""
