"""What of the server's environment a child process may have: what is allowed by name, and keys are not."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

ALLOWED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TERM", "TMPDIR")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def allowed_environment(environ: Mapping[str, str], names: Iterable[str] = ALLOWED) -> dict[str, str]:
    """The variables whose names match (`*` stands for anything); PATH is always there."""
    patterns = tuple(names)
    allowed = {
        name: value for name, value in environ.items() if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    return {"PATH": DEFAULT_PATH, **allowed}
