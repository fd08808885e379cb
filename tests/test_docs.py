"""The documentation says what the code does."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_protocols_tables_are_made_from_schema_and_grammar():
    """`python scripts/make_protocol.py` would change nothing."""
    spec = importlib.util.spec_from_file_location("make_protocol", ROOT / "scripts" / "make_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.PROTOCOL.read_text(encoding="utf-8")
    assert module.made(text) == text
    assert text.count("<!-- table: ") == len(module.TABLES)
