"""Threads and runs at rest."""
