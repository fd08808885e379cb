"""What can be said: items, events, responses, requests and errors. Floor 0: pure values, no I/O."""
