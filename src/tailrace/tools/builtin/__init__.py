"""The built-in tools, a file each; `catalog.py` puts them together."""
