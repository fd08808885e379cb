"""What a store promises of turns that wait, of what is said to runs, and of whole outputs."""

import asyncio

from tailrace.schema.errors import Conflict, NotFound
from tailrace.store.base import Input, Store, StoredRun
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

    async def test_who_waits_is_told_of_the_threads_that_are_asked_about(self, store: Store) -> None:
        """For as long as one waits there, also while the thread is held, and again when another is enqueued."""
        for thread_id in ("t", "u", "v"):
            await store.create_run(a_run(f"{thread_id}1", thread_id), a_thread(thread_id))
        for thread_id in ("t", "u"):
            await store.enqueue_run(a_run(f"{thread_id}2", thread_id))
        assert await store.next_run("t") is None
        assert await store.waiting_threads({"t", "v", "nowhere"}) == ["t"]
        await end(store, "t1")
        assert await store.next_run("t") == a_run("t2")
        assert await store.waiting_threads(["t", "v"]) == []
        assert await store.next_run("t") is None
        await store.enqueue_run(a_run("t3"))
        assert sorted(await store.waiting_threads(["t", "u", "v"])) == ["t", "u"]

    async def test_nobody_waits_for_ever(self, store: Store) -> None:
        """Whoever enqueues asks for the turn, and who stores an end asks who waits: one of them is given it, however
        the two meet."""
        await store.create_thread(a_thread("t"))
        await store.create_run(a_run("0"), None)
        for number in range(1, 30):
            run_id = str(number)

            async def enqueue(run_id: str = run_id) -> list[StoredRun | None]:
                await store.enqueue_run(a_run(run_id))
                return [await store.next_run("t")]

            async def project(run_id: str = str(number - 1)) -> list[StoredRun | None]:
                await end(store, run_id)
                return [await store.next_run(thread_id) for thread_id in await store.waiting_threads(["t"])]

            given = [run for found in await asyncio.gather(enqueue(), project()) for run in found if run is not None]
            assert [run.request.run_id for run in given] == [run_id]

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
