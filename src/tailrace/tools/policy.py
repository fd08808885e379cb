"""How far tools may go: what an installation says once, for all of them."""

from typing import Literal

from msgspec import Struct


class SandboxPolicy(Struct, frozen=True, kw_only=True):
    """`mode`: without a sandbox, commands are refused (required), run all the same (preferred), or always run without
    one (off). `network`: may commands use it? `readable`: more of the system that they may read; `hidden`: that they
    may not, in the workspace either, such as the server's own data."""

    mode: Literal["required", "preferred", "off"] = "required"
    network: bool = False
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


class NetworkPolicy(Struct, frozen=True, kw_only=True):
    """`allowed`: networks (CIDR) that may be reached although they are not public, such as a documentation server's."""

    allowed: tuple[str, ...] = ()
