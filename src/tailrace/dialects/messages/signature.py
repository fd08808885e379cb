"""Thinking as a client keeps it: what stands in `signature` and in `redacted_thinking`.

What this protocol's own providers sign goes to the client as it came, byte for byte, and so comes back. Every other
provider's continuation data is sealed (dialects/responses/sealed.py) with the provider and model that it is bound to;
so is the lack of any, because clients drop thinking that has no signature. A seal is opened again for whoever it is
bound to, and never reaches another provider (contract §1).
"""

from tailrace.dialects.responses.sealed import seal, unseal
from tailrace.schema.items import Opaque, ReasoningItem

SIGNATURE = "signature"
REDACTED = "redacted_thinking"
_SUMMARISED = "encrypted_content"  # the Responses wire's, whose readable reasoning is a summary
_NOTHING = ""


def is_redacted(item: ReasoningItem) -> bool:
    """Is there nothing to be read, by the provider's will?"""
    return item.opaque is not None and item.opaque.kind == REDACTED


def signature_of(item: ReasoningItem, provider_id: str, model_id: str) -> str:
    """The signature of a thinking block; `provider_id` and `model_id` say who thought."""
    opaque = item.opaque or Opaque(provider_id=provider_id, model_id=model_id, kind=_NOTHING, data="")
    if opaque.kind == SIGNATURE:
        return opaque.data
    return seal(opaque, item.correlation_id or item.id)


def thought(item_id: str, thinking: str, signature: str, signer: tuple[str, str] | None) -> ReasoningItem:
    """A thinking block that came back. What we did not seal is `signer`'s (provider and model): nobody's where None."""
    sealed = unseal(signature)
    if sealed is None:
        return ReasoningItem(id=item_id, content=thinking, opaque=_own(SIGNATURE, signature, signer))
    own_id, opaque = sealed
    summary = [thinking] if opaque.kind == _SUMMARISED and thinking else None
    kept = opaque if opaque.kind != _NOTHING else None
    return ReasoningItem(id=item_id, content=thinking, summary_parts=summary, opaque=kept, correlation_id=own_id)


def redacted(item_id: str, data: str, signer: tuple[str, str] | None) -> ReasoningItem:
    """A redacted_thinking block that came back."""
    return ReasoningItem(id=item_id, content="", opaque=_own(REDACTED, data, signer))


def _own(kind: str, data: str, signer: tuple[str, str] | None) -> Opaque | None:
    if signer is None or not data:
        return None
    return Opaque(provider_id=signer[0], model_id=signer[1], kind=kind, data=data)
