"""Public twins for tests: a scripted upstream that speaks every wire, conformance suites."""
