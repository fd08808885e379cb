"""What works beside the runs: projector and reaper."""
