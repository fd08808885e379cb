"""What it adds up to: the grammar of events and the reducer that folds them. Pure."""
