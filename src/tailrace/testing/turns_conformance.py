"""What a store promises of turns that wait, of what is said to runs, and of whole outputs."""

import asyncio

from tailrace.schema.errors import Conflict, NotFound
from tailrace.store.base import Input, Store
from tailrace.testing.stored import a_run, a_thread, end, refused


class TurnsConformance:
    """For a class of tests with a fixture `store`, an empty store."""

    async def test_turns_come_in_order(self, store: Store) -> None:
        """One at a time, whoever asks; a run that waits is neither live nor looked for as a lost one."""
        await store.create_run(a_run("one"), a_thread("t"))
        for run_id in ("two", "three"):
            await store.enqueue_run(a_run(run_id))
        assert await store.next_run("t") is None
        assert [run.request.run_id for run in await store.live_runs()] == ["one"]
        assert await store.waiting_threads() == ["t"]
        for before, run_id in (("one", "two"), ("two", "three")):
            await end(store, before)
            given = await asyncio.gather(*(store.next_run("t") for _ in range(5)))
            assert [run.request.run_id for run in given if run is not None] == [run_id]
            assert await store.live_run("t") == run_id
        assert await store.waiting_threads() == []

    async def test_a_turn_is_asked_for_once(self, store: Store) -> None:
        """The same again is the one that is there; another body, or no such thread, is refused."""
        await store.create_run(a_run("one"), a_thread("t"))
        await store.enqueue_run(a_run("two"))
        assert await store.enqueue_run(a_run("two")) == a_run("two")
        await refused(store.enqueue_run(a_run("two", digest="other")), Conflict)
        await refused(store.enqueue_run(a_run("three", "nowhere")), NotFound)

    async def test_what_is_said_to_a_run_is_kept_in_order(self, store: Store) -> None:
        """Once under each id, and it goes with the run."""
        await store.create_run(a_run("one"), a_thread("t"))
        said = [Input(delivery_id=name, text=f"{name} 🙂\0") for name in ("b", "a")]
        for each in (*said, *said):
            await store.add_input("one", each)
        assert await store.inputs("one") == said
        await refused(store.add_input("one", Input(delivery_id="a", text="other")), Conflict)
        await end(store, "one")
        await store.delete_run("one")
        assert await store.inputs("one") == []

    async def test_whole_outputs_are_kept_beside_a_run(self, store: Store) -> None:
        """The first of a call stays, and goes with the run's thread."""
        await store.create_run(a_run("one"), a_thread("t"))
        for data in (b"first\0\xff" * 1000, b"second"):
            await store.keep_output("one", "c", data)
        assert await store.kept_output("one", "c") == b"first\0\xff" * 1000
        await refused(store.kept_output("one", "d"), NotFound)
        await end(store, "one")
        await store.delete_thread("t")
        await refused(store.kept_output("one", "c"), NotFound)
