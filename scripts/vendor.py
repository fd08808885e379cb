"""Renew ui/vendor: the page's third-party modules, from the npm registry, pinned by version and digest.

Each is one file as its authors built it for browsers, with its licence beside it; what is changed is said in PACKAGES.
`python scripts/vendor.py` writes the files, `--check` says whether they are what this table gives.
"""

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

VENDOR = Path(__file__).resolve().parent.parent / "ui" / "vendor"
LANGUAGES = (
    "bash", "cpp", "css", "diff", "go", "ini", "java", "javascript", "json", "markdown", "python", "rust", "sql",
    "typescript", "xml", "yaml",
)  # fmt: skip


class Package(NamedTuple):
    """A package of the registry: `files` maps what is taken to its name here, `replaced` what is changed in it.

    (A browser knows no module by a bare name without an import map, and a policy that forbids inline scripts forbids
    those.)
    """

    name: str
    version: str
    sha256: str
    files: dict[str, str]
    replaced: tuple[tuple[str, str], ...] = ()


PACKAGES = (
    Package(
        "preact",
        "11.2.0",
        "3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf",
        {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"},
        (('from"preact"', 'from"./preact.js"'),),
    ),
    Package(
        "htm",
        "3.1.1",
        "2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90",
        {"dist/htm.module.js": "htm.js"},
    ),
    Package(
        "marked",
        "18.2.1",
        "d66c5213fc203466186060105b01f51896764ba64b3797d2620d02e28e34b8ca",
        {"lib/marked.esm.js": "marked.js"},
    ),
    Package(
        "dompurify",
        "3.5.0",
        "faa5f2bfe2814384b83d6edb4ed66812fbfdb2a654b4d59edd4b12304058ec20",
        {"dist/purify.min.js": "purify.js"},
    ),
    Package(
        "@highlightjs/cdn-assets",
        "11.12.0",
        "b8a006d30f45afe783072569f3d69c5b60c0e7b9ca28cd474e12f2584e2a3bd9",
        {"es/core.min.js": "highlight.js"}
        | {f"es/languages/{name}.min.js": f"highlight-{name}.js" for name in LANGUAGES},
    ),
)

_SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=\S+\s*$")  # the map stays behind


def fetched(package: Package) -> bytes:
    """The package's archive, by npm's own client. Raises SystemExit where its digest is another."""
    named = f"{package.name}@{package.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, named]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # names of the table above
        (archive,) = Path(folder).iterdir()
        data = archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != package.sha256:
        sys.exit(f"{named}: the digest is {digest}, not {package.sha256}")
    return data


def taken(package: Package) -> dict[str, bytes]:
    """What is taken of a package: name in ui/vendor -> content."""
    with tarfile.open(fileobj=io.BytesIO(fetched(package))) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(f"package/{name}")
            return file.read() if file else b""

        files = {f"{package.name.rpartition('/')[2]}.LICENSE": member("LICENSE")}
        for name, here in package.files.items():
            data = _SOURCE_MAP.sub(b"\n", member(name))
            for old, new in package.replaced:
                data = data.replace(old.encode(), new.encode())
            files[here] = data
    return files


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description="Renew ui/vendor from the npm registry.")
    parser.add_argument("--check", action="store_true", help="only say what differs")
    check = parser.parse_args().check
    wanted = {name: data for package in PACKAGES for name, data in taken(package).items()}
    VENDOR.mkdir(parents=True, exist_ok=True)
    found = {path.name: path.read_bytes() for path in VENDOR.iterdir()}
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if check:
        print(*(f"{name} differs" for name in differing), sep="\n", end="\n" if differing else "")
        return bool(differing)
    for name in differing:
        if name in wanted:
            (VENDOR / name).write_bytes(wanted[name])
        else:
            (VENDOR / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
