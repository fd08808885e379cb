"""The decoding scenario measures every wire, and what it measures is the decoding."""

import pytest

from bench.decode import answer, measured, rate, typical
from tailrace.adapters.wires import WIRES
from tailrace.testing.upstream import WIRES as SCRIPTED_WIRES
from tailrace.testing.wires.base import named_in


@pytest.mark.slow
@pytest.mark.parametrize("wire", sorted(WIRES))
def test_every_wire_has_its_rows(wire):
    """Its deltas are timed, and long arguments take time and memory in proportion."""
    assert wire in {scripted.name for scripted in SCRIPTED_WIRES}
    figures = measured(wire, 200, 2, size=256 * 1024)
    assert any(figure.unit == "1/s" for figure in figures)
    assert all(figure.value > 0 and figure.goal for figure in figures)
    memory = figures[-1]
    assert memory.met, memory


def test_each_delta_is_an_event():
    """What is counted is what was said: no more events than deltas and the items' own."""
    for moves in typical(500).values():
        count, seconds = rate("openai-responses", answer("openai-responses", moves))
        assert 500 <= count <= 510
        assert seconds > 0


def test_what_a_route_names():
    """Also with a form of its own; a path that is not of the route is no answer."""
    route = "/v1beta/models/{model:[^/:]+}:{action}"
    assert named_in(route, "/models/gemini%2F3:generateContent?alt=sse") == {
        "model": "gemini/3", "action": "generateContent",
    }  # fmt: skip
    assert named_in("/model/{model}/converse", "/model/a.b/converse") == {"model": "a.b"}
    versions = "/{api:v1beta|v1/projects/[^/]+}/models/{model}:{action}"  # of the base URL, and so not of the path
    assert named_in(versions, "/models/m:stream") == {"model": "m", "action": "stream"}
    assert named_in("/v1/messages", "/v1/messages") == {}
    assert named_in("/{api:v1|a/[^/]+/b}/models/{model}:{method}", "/models/m:go") == {"model": "m", "method": "go"}
    with pytest.raises(ValueError, match="is not of the route"):
        named_in(route, "/models")
