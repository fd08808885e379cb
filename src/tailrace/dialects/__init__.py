"""Egress: a folder per client protocol. Pure."""
