"""The native dialect: the log's events as they are."""
