"""The turn: a pure step decides, drive carries it out."""
