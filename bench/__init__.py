"""What streaming costs: Tailrace beside a bare passthrough of the same bytes, measured in the same run (`make bench`).

    upstream (own process) -> {nothing | passthrough | tailrace} (own process each) -> client (this process)

The upstream writes into every event when it sent it; the client reads that off the event when it arrives, so that the
added latency is the difference to a client that talks to the upstream directly. CPU is the gateway process's own. The
systems take turns, round by round, and every figure is a median over the rounds: use the ratios, because absolute
figures drift with the machine. Loopback only; Linux only (CPU clocks and /proc of other processes).
"""
