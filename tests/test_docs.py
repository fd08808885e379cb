"""The documentation says what the code does."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_tables_are_made_from_the_code():
    """`python scripts/make_tables.py` would change nothing, and each table stands somewhere, once."""
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts" / "make_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    texts = [path.read_text(encoding="utf-8") for path in module.documents()]
    assert [module.made(text) for text in texts] == texts
    assert sum(text.count("<!-- table: ") for text in texts) == len(module.TABLES)
