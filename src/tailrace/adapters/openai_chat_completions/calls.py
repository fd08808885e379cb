"""The tool calls of a chat completion. They come in pieces, whole, with their parts in any order, interleaved, without
an index or without an id; whichever way, the same calls come out (A14)."""

from tailrace.adapters.collect import Collector
from tailrace.adapters.growing import GrowingCall
from tailrace.adapters.reading import Json, as_text, dict_in, index_in, text_in
from tailrace.schema.response import FinishReason


class _Call:
    """One call as far as it has come. It begins for others once its name and id are known."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.is_custom = False
        self.extra: Json = {}  # a gateway's addition that must go back with the call
        self.waiting: list[str] = []
        self.growing: GrowingCall | None = None

    def is_another(self, call_id: str, name: str) -> bool:
        """Does an entry with this id and name begin another call, though it has this one's index?"""
        return bool(call_id and self.id and call_id != self.id and name)


class Calls:
    """Collects calls by index, and by id where there is none."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, entry: Json, place: int | None) -> None:
        """One entry of `tool_calls`; `place` is where it stands in a list that holds them all, if it is in one."""
        said = dict_in(entry, "function")
        index = index_in(entry, "index") if place is None else place
        if index is not None and len(said) == 1 and len(entry) == 2 and "arguments" in said and "index" in entry:
            known = self._by_index.get(index)
            if known is not None and known.growing is not None:  # it goes on, as most entries do
                known.growing.arguments(as_text(said["arguments"]))
                return
        custom = dict_in(entry, "custom")
        is_custom = entry.get("type") == "custom" or bool(custom and not text_in(said, "name"))
        if is_custom:
            said = custom
        call_id, name = text_in(entry, "id"), text_in(said, "name")
        call = self._find(index, call_id, name)
        call.is_custom = call.is_custom or is_custom
        call.name = call.name or name
        if call_id and not call.id:
            call.id = call_id
            self._by_id.setdefault(call_id, call)
        call.extra = dict_in(entry, "extra_content") or call.extra
        arguments = as_text(said.get("input" if is_custom else "arguments"))
        if arguments:
            call.waiting.append(arguments)
        if call.name and call.id:
            self._send(call)

    def _find(self, index: int | None, call_id: str, name: str) -> _Call:
        call = self._by_index.get(index) if index is not None else self._unnumbered(call_id, name)
        if call is None and index is not None and not name:
            call = self._by_id.get(call_id)
        if call is None or call.is_another(call_id, name):
            call = _Call(index)
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _unnumbered(self, call_id: str, name: str) -> _Call | None:
        """The call that an entry without an index goes on with: by its id; without one, a name begins another call."""
        latest = self._calls[-1] if self._calls else None
        if not call_id:
            return None if name else latest
        if call_id in self._by_id:
            return self._by_id[call_id]
        return latest if latest is not None and not latest.id and not name else None

    def _send(self, call: _Call) -> GrowingCall:
        if call.growing is None:
            item = self._collector.start(
                "function_call", call.id, name=call.name or None, call_id=call.id, is_custom=call.is_custom
            )
            call.growing = GrowingCall(item, name=call.name, call_id=call.id, is_custom=call.is_custom)
        for text in call.waiting:
            call.growing.arguments(text)
        call.waiting.clear()
        return call.growing

    def settle(self, reason: FinishReason | None) -> None:
        """The answer has ended: so have its calls, in the order of their index (A19).

        What was cut is not run (C19): a call that is no JSON counts as whole only where the provider says that it had
        finished; then whoever runs it will tell the model. `reason` is None where the provider gave none.
        """
        for call in sorted(self._calls, key=lambda call: -1 if call.index is None else call.index):
            growing = self._send(call)
            has_finished = reason in {"stop", "tool_calls"} or (reason is None and not growing.sent)
            if call.name and (has_finished or growing.is_whole):
                growing.done(opaque=self._collector.opaque("extra_content", call.extra or None))
            else:
                growing.item.cancel("incomplete" if reason is None or has_finished else reason)
