"""The upserts dialect: an item's whole current state per frame, for thin clients."""
