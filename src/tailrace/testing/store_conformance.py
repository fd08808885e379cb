"""What every store keeps (`store.base`), as tests for pytest.

Subclass `StoreConformance` in a test module whose fixtures give `store`: an empty store. `asyncio_mode = "auto"`, or an
asyncio mark on the subclass.
"""

import asyncio
import random

from msgspec.structs import replace

from tailrace.schema.errors import Conflict, InvalidRequest, NotFound, NotReady, TooLarge
from tailrace.schema.items import MessageItem, OutputItem, ProviderItem
from tailrace.schema.response import Status
from tailrace.store.base import Projection, Store, StoredRun
from tailrace.testing.stored import (
    NOW,
    a_log,
    a_response,
    a_run,
    a_thread,
    an_output,
    archive,
    end,
    fill,
    make_chain,
    refused,
    whole,
)


class StoreConformance:
    """The suite."""

    # --- threads ----------------------------------------------------------------------------------------------------

    async def test_a_thread_comes_back_as_it_was(self, store: Store) -> None:
        """With all its fields, or hardly any."""
        full = a_thread(
            "full",
            model_id="m",
            provider_id="p",
            agent_id="a",
            title="Titel 🙂\n",
            summary="",
            tags=["b", "a", "b"],
            metadata={"nested": {"list": [1, 2.5, None, True]}},
        )
        bare = a_thread("bare")
        for thread in (full, bare):
            await store.create_thread(thread)
        assert [await store.get_thread(thread_id) for thread_id in ("full", "bare")] == [full, bare]

    async def test_a_thread_id_is_taken_once(self, store: Store) -> None:
        """A second one is a conflict, and changes nothing."""
        await store.create_thread(a_thread("t", title="first"))
        await refused(store.create_thread(a_thread("t", title="second")), Conflict)
        assert (await store.get_thread("t")).title == "first"

    async def test_c56_what_is_not_there_is_not_found(self, store: Store) -> None:
        """Threads and runs alike, in whatever call names them."""
        await refused(store.get_thread("x"), NotFound)
        await refused(store.update_thread("x", {"title": "t"}, NOW), NotFound)
        await refused(store.delete_thread("x"), NotFound)
        await refused(store.thread_runs("x"), NotFound)
        await refused(store.get_run("x"), NotFound)
        await refused(store.create_run(a_run("r", "x"), None), NotFound)
        assert await store.live_run("x") is None
        assert await store.archived("x") is None
        assert await store.list_threads(tag=None, limit=5, cursor=None) == ([], None)
        assert await store.list_runs(thread_id="x", status=None, limit=5, cursor=None) == ([], None)

    async def test_threads_are_listed_newest_first_in_pages(self, store: Store) -> None:
        """By the time of their last change, then by id; the pages joined are the list, whatever their size."""
        for number in range(11):
            await store.create_thread(a_thread(f"t{number:02}", at=number // 3))
        expected = [f"t{number:02}" for number in range(10, -1, -1)]
        for limit in (1, 2, 5, 11, 50):
            found: list[str] = []
            cursor: str | None = None
            while True:
                page, cursor = await store.list_threads(tag=None, limit=limit, cursor=cursor)
                assert len(page) <= limit
                found += [thread.thread_id for thread in page]
                if cursor is None:
                    break
            assert found == expected

    async def test_threads_are_found_by_tag(self, store: Store) -> None:
        """Also after their tags were changed."""
        await store.create_thread(a_thread("a", tags=["x", "y"]))
        await store.create_thread(a_thread("b", tags=["y"]))
        await store.create_thread(a_thread("c"))

        async def tagged(tag: str) -> list[str]:
            return [thread.thread_id for thread in (await store.list_threads(tag=tag, limit=9, cursor=None))[0]]

        assert [await tagged(tag) for tag in ("x", "y", "z")] == [["a"], ["b", "a"], []]
        await store.update_thread("a", {"tags": ["z", "z"]}, NOW)
        await store.update_thread("b", {"tags": None}, NOW)
        assert [await tagged(tag) for tag in ("x", "y", "z")] == [[], [], ["a"]]

    async def test_a_wrong_cursor_is_the_callers(self, store: Store) -> None:
        """InvalidRequest names the field, for threads and runs, whatever stands there."""
        for cursor in ("", "nonsense", "ä", "e30", "WyJhIiwxXQ", "=", "AAAA"):
            for call in (
                store.list_threads(tag=None, limit=1, cursor=cursor),
                store.list_runs(thread_id=None, status=None, limit=1, cursor=cursor),
            ):
                assert (await refused(call, InvalidRequest)).field == "cursor"

    async def test_an_update_changes_what_it_names(self, store: Store) -> None:
        """And the time; None takes a value away."""
        thread = a_thread("t", title="old", summary="stays", tags=["a"], metadata={"a": 1})
        await store.create_thread(thread)
        changed = await store.update_thread("t", {"title": "new", "metadata": None, "tags": ["b"]}, NOW + 5)
        assert changed == await store.get_thread("t")
        assert (changed.title, changed.summary, changed.metadata, changed.tags) == ("new", "stays", None, ["b"])
        assert (changed.created_at, changed.updated_at) == (NOW, NOW + 5)

    # --- runs -------------------------------------------------------------------------------------------------------

    async def test_a_run_comes_back_as_it_was(self, store: Store) -> None:
        """Request, digest and answer; it is its thread's live one."""
        await store.create_thread(a_thread("t"))
        run = a_run("r")
        assert await store.create_run(run, None) == run
        assert await store.get_run("r") == run
        assert await store.live_run("t") == "r"
        assert await store.live_runs() == [run]

    async def test_c54_a_run_brings_its_new_thread_or_nothing(self, store: Store) -> None:
        """Both are made, or neither is."""
        await store.create_run(a_run("r", "new"), a_thread("new", title="t"))
        assert (await store.get_thread("new")).title == "t"
        await refused(store.create_run(a_run("r2", "new"), a_thread("new")), Conflict)
        await refused(store.create_run(a_run("r", "newer", digest="other"), a_thread("newer")), Conflict)
        await refused(store.get_thread("newer"), NotFound)
        await refused(store.get_run("r2"), NotFound)

    async def test_c55_a_run_id_used_again_is_the_same_run_or_a_conflict(self, store: Store) -> None:
        """The same body gives the run as it stands now, another body a conflict, also when it has ended."""
        await store.create_run(a_run("r"), a_thread("t"))
        await store.project([Projection(response=a_response("r", "t", "in_progress", 4, "hello"))])
        again = await store.create_run(a_run("r"), None)
        assert again.response.output_items == [MessageItem(id="item_1", content="hello")]
        await refused(store.create_run(a_run("r", digest="other"), None), Conflict)
        await end(store, "r")
        assert (await store.create_run(a_run("r"), a_thread("u"))).response.status == "complete"
        await refused(store.get_thread("u"), NotFound)
        assert len(await store.thread_runs("t")) == 1

    async def test_c55_the_same_run_asked_for_many_times_at_once_is_made_once(self, store: Store) -> None:
        """With its new thread, too."""
        made = await asyncio.gather(*(store.create_run(a_run("r"), a_thread("t")) for _ in range(8)))
        assert all(run == a_run("r") for run in made)
        assert len(await store.thread_runs("t")) == 1

    async def test_c58_of_runs_that_race_for_a_thread_one_wins(self, store: Store) -> None:
        """The others are refused and told by whom; the order of the runs is the order of their making."""
        await store.create_thread(a_thread("t"))
        winners: list[str] = []
        for turn in range(3):
            run_ids = [f"{turn}/{number}" for number in range(8)]
            outcomes = await asyncio.gather(
                *(store.create_run(a_run(run_id), None) for run_id in run_ids), return_exceptions=True
            )
            (winner,) = [outcome for outcome in outcomes if isinstance(outcome, StoredRun)]
            winners.append(winner.request.run_id)
            refusals = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
            assert [refusal.details["run_id"] for refusal in refusals] == [winners[-1]] * 7
            await end(store, winners[-1])
        assert [response.id for response in await store.thread_runs("t")] == winners

    async def test_why_a_run_is_refused_is_told_in_one_order(self, store: Store) -> None:
        """Its own id first, then its thread's, then the live run: whatever else stands in the way as well."""
        await store.create_run(a_run("live"), a_thread("t"))
        assert await store.create_run(a_run("live"), None) == a_run("live")
        assert (await refused(store.create_run(a_run("live", digest="other"), None), Conflict)).details == {}
        assert (await refused(store.create_run(a_run("new"), a_thread("t")), Conflict)).details == {}
        assert (await refused(store.create_run(a_run("new"), None), Conflict)).details == {"run_id": "live"}
        assert (await refused(store.create_run(a_run("live", "x", digest="other"), None), Conflict)).details == {}
        await refused(store.create_run(a_run("new", "x"), None), NotFound)

    async def test_a_caller_that_leaves_leaves_nothing_half_done(self, store: Store) -> None:
        """There is a new thread with its run, or neither; the store goes on."""
        tasks: list[asyncio.Task[StoredRun]] = []
        for number in range(20):
            task = asyncio.create_task(store.create_run(a_run(f"r{number}", f"t{number}"), a_thread(f"t{number}")))
            tasks.append(task)
            for _ in range(number % 4):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait(tasks)
        assert await store.create_run(a_run("r"), a_thread("t")) == a_run("r")
        for thread in (await store.list_threads(tag=None, limit=99, cursor=None))[0]:
            assert [run.id for run in await store.thread_runs(thread.thread_id)] == [f"r{thread.thread_id[1:]}"]

    async def test_runs_are_listed_newest_first_in_pages(self, store: Store) -> None:
        """All, of a thread, of a status, or both."""
        await fill(store, "a1", "a2", "a3", thread_id="a")
        await fill(store, "b1", "b2", thread_id="b")
        await store.create_run(a_run("a4", "a"), None)

        async def listed(limit: int, thread_id: str | None, status: Status | None) -> list[str]:
            found: list[str] = []
            cursor: str | None = None
            while True:
                page, cursor = await store.list_runs(thread_id=thread_id, status=status, limit=limit, cursor=cursor)
                found += [response.id for response in page]
                if cursor is None:
                    return found

        for limit in (1, 2, 6, 50):
            assert await listed(limit, None, None) == ["a4", "b2", "b1", "a3", "a2", "a1"]
            assert await listed(limit, "a", None) == ["a4", "a3", "a2", "a1"]
            assert await listed(limit, "a", "complete") == ["a3", "a2", "a1"]
            assert await listed(limit, None, "queued") == ["a4"]

    async def test_c43_live_runs_are_those_that_have_not_ended(self, store: Store) -> None:
        """Whatever they are waiting for."""
        statuses: dict[str, Status] = {
            "r1": "in_progress",
            "r2": "complete",
            "r3": "requires_action",
            "r4": "error",
            "r5": "aborted",
        }
        await store.create_run(a_run("r0", "t0"), a_thread("t0"))
        for run_id, status in statuses.items():
            thread_id = f"t{run_id[1:]}"
            await store.create_run(a_run(run_id, thread_id), a_thread(thread_id))
            await store.project([Projection(response=a_response(run_id, thread_id, status, 3))])
        assert [run.request.run_id for run in await store.live_runs()] == ["r0", "r1", "r3"]
        assert [await store.live_run(f"t{number}") for number in range(6)] == ["r0", "r1", None, "r3", None, None]

    # --- projections ------------------------------------------------------------------------------------------------

    async def test_c40_a_projection_goes_forwards_only(self, store: Store) -> None:
        """One that is not newer than what is stored changes nothing: a projector that begins again does no harm."""
        await store.create_run(a_run("r"), a_thread("t"))
        for seq, text in ((3, "three"), (2, "two"), (3, "again"), (7, "seven"), (5, "five")):
            await store.project([Projection(response=a_response("r", "t", "in_progress", seq, text))])
        run = await store.get_run("r")
        assert run == StoredRun(
            request=run.request, digest="d", response=a_response("r", "t", "in_progress", 7, "seven")
        )

    async def test_many_projections_are_written_together(self, store: Store) -> None:
        """Those of runs that are gone are passed over."""
        projections = [Projection(response=a_response("gone", "nowhere", "complete", 3), archive=a_log("gone"))]
        for number in range(20):
            await store.create_run(a_run(f"r{number}", f"t{number}"), a_thread(f"t{number}"))
            status: Status = "complete" if number % 2 else "in_progress"
            archive = a_log(f"r{number}") if number % 2 else None
            response = a_response(f"r{number}", f"t{number}", status, 5, f"text {number}")
            projections.append(Projection(response=response, archive=archive))
        await store.project(projections)
        await store.project([])
        for projection in projections[1:]:
            assert (await store.get_run(projection.response.id)).response == projection.response
            assert whole(list(await store.archived(projection.response.id) or ())) == whole(
                list(projection.archive or ())
            )
        assert await store.archived("gone") is None
        assert len(await store.live_runs()) == 10

    async def test_c44_the_archive_is_the_log(self, store: Store) -> None:
        """To the byte, with its batches, times and traces; given again, it changes nothing."""
        await store.create_run(a_run("r"), a_thread("t"))
        log = a_log("r", 50)
        assert await store.archived("r") is None
        await store.project([Projection(response=a_response("r", "t", "complete", 52), archive=log)])
        await store.project([Projection(response=a_response("r", "t", "complete", 52), archive=a_log("r", 1))])
        archived = list(await store.archived("r") or ())
        assert [(batch.first_seq, batch.last_seq) for batch in archived] == [
            (batch.first_seq, batch.last_seq) for batch in log
        ]
        assert whole(archived) == whole(log)

    async def test_c57_the_end_of_a_run_touches_its_thread(self, store: Store) -> None:
        """Not what comes before it; never backwards."""
        await store.create_run(a_run("r"), a_thread("t"))
        await store.project([Projection(response=a_response("r", "t", "in_progress", 5))])
        assert (await store.get_thread("t")).updated_at == NOW
        await end(store, "r", seq=8)
        assert (await store.get_thread("t")).updated_at == NOW + 8
        await store.update_thread("t", {"title": "x"}, NOW + 100)
        await store.create_run(a_run("r2"), None)
        await end(store, "r2", seq=9)
        assert (await store.get_thread("t")).updated_at == NOW + 100

    async def test_c40_projectors_that_race_go_forwards_only(self, store: Store) -> None:
        """Several write the same runs at the same time, older and newer states in any order: the newest stays."""
        shuffled = random.Random(1)
        run_ids = [f"r{number}" for number in range(8)]
        for run_id in run_ids:
            await store.create_run(a_run(run_id, f"t of {run_id}"), a_thread(f"t of {run_id}"))

        def everything(seq: int) -> list[Projection]:
            responses = [a_response(run_id, f"t of {run_id}", "in_progress", seq, f"{seq}") for run_id in run_ids]
            last = [
                Projection(response=replace(response, status="complete"), archive=a_log(response.id, seq - 2))
                for response in responses
            ]
            made = last if seq == 30 else [Projection(response=response) for response in responses]
            return shuffled.sample(made, len(made))

        seqs = [*range(1, 31), 30, 30, 30]
        await asyncio.gather(*(store.project(everything(seq)) for seq in shuffled.sample(seqs, len(seqs))))
        for run_id in run_ids:
            run = await store.get_run(run_id)
            assert (run.response.last_seq, run.response.status) == (30, "complete")
            assert run.response.output_items == [MessageItem(id="item_1", content="30")]
            assert len(whole(list(await store.archived(run_id) or ()))) == 30

    async def test_of_two_states_of_a_run_in_one_projection_the_newer_stays(self, store: Store) -> None:
        """In whatever order they stand."""
        await store.create_run(a_run("r"), a_thread("t"))
        for first, second in ((2, 3), (5, 4)):
            states = [Projection(response=a_response("r", "t", "in_progress", seq)) for seq in (first, second)]
            await store.project(states)
            assert (await store.get_run("r")).response.last_seq == max(first, second)

    async def test_any_character_comes_back(self, store: Store) -> None:
        """U+0000 too, wherever text may stand, beside what might be taken for it."""
        odd = "a\0b\\0c\\\0\\\\0 \u2028\ufffe🙂"
        thread = a_thread(odd, title=odd, summary=odd, tags=[odd], metadata={odd: odd}, model_id=odd)
        await store.create_thread(thread)
        run = a_run(odd, odd, asked={odd: odd})
        await store.create_run(run, None)
        await refused(store.create_run(a_run("r2", odd), None), Conflict)
        said = replace(a_response(odd, odd, "complete", 5, odd), output_items=[MessageItem(id=odd, content=odd)])
        assert await store.get_thread(odd) == thread
        assert await store.live_run(odd) == odd
        await store.project([Projection(response=said, archive=a_log(odd))])
        assert await store.get_run(odd) == replace(run, response=said)
        assert whole(list(await store.archived(odd) or ())) == whole(a_log(odd))
        await store.create_thread(a_thread("later", at=9, tags=[odd]))
        first, cursor = await store.list_threads(tag=odd, limit=1, cursor=None)
        second, cursor = await store.list_threads(tag=odd, limit=1, cursor=cursor)
        assert [thread.thread_id for thread in (*first, *second)] == ["later", odd]
        assert cursor is None
        await refused(store.get_thread("\0"), NotFound)
        assert await store.delete_thread(odd) == [odd]
        assert await store.doomed_logs() == [odd]

    # --- large items ------------------------------------------------------------------------------------------------

    async def test_c46_a_big_answer_is_stored_whole(self, store: Store) -> None:
        """A tool that put out five megabytes: the run is readable in every list that it is in."""
        await store.create_run(a_run("r"), a_thread("t"))
        big = replace(
            a_response("r", "t", "in_progress", 2),
            output_items=[an_output(1, 10), an_output(2, 5_000_000), MessageItem(id="m", content="done")],
        )
        await store.project([Projection(response=big)])
        assert (await store.get_run("r")).response == big
        assert await store.thread_runs("t") == [big]
        assert await store.chain("r") == [big]
        assert [run.response for run in await store.live_runs()] == [big]
        ended = replace(big, status="complete", last_seq=9)
        await store.project([Projection(response=ended)])
        assert await store.list_runs(thread_id="t", status=None, limit=1, cursor=None) == ([ended], None)

    async def test_c46_large_items_come_and_go(self, store: Store) -> None:
        """One that grows, one that is there twice, one that becomes small; each snapshot is read as it was written."""
        await store.create_run(a_run("r"), a_thread("t"))
        await store.create_run(a_run("small", "u"), a_thread("u"))
        states: list[list[OutputItem]] = [
            [an_output(1, 2_000_000)],
            [an_output(1, 2_000_000), an_output(1, 2_000_000), an_output(2, 1_500_000)],
            [an_output(2, 1_500_000), an_output(1, 2_600_000), MessageItem(id="m", content="x")],
            [MessageItem(id="m", content="x")],
            [an_output(3, 3_000_000)],
        ]
        for seq, items in enumerate(states, 1):
            now = replace(a_response("r", "t", "in_progress", seq), output_items=items)
            small = a_response("small", "u", "in_progress", seq, f"{seq}")
            await store.project([Projection(response=now), Projection(response=small)])
            assert (await store.get_run("r")).response == now
            assert (await store.list_runs(thread_id=None, status=None, limit=9, cursor=None))[0] == [small, now]

    async def test_what_looks_like_a_marker_is_an_item_like_any_other(self, store: Store) -> None:
        """Whoever sends one gets it back, beside a large item too."""
        await store.create_run(a_run("r"), a_thread("t"))
        marker = ProviderItem(id="p", provider_type="tailrace.large_item", data={"sha256": "0"})
        states: list[list[OutputItem]] = [[marker], [marker, an_output(1, 2_000_000)]]
        for seq, items in enumerate(states, 1):
            now = replace(a_response("r", "t", "in_progress", seq), output_items=items)
            await store.project([Projection(response=now)])
            assert (await store.get_run("r")).response == now

    # --- runs that go on from others --------------------------------------------------------------------------------

    async def test_a_chain_is_all_that_led_to_a_run(self, store: Store) -> None:
        """Oldest first, across threads; runs that went on from the same ones are not in it."""
        await store.create_thread(a_thread("t"))
        await make_chain(store, "a", "b", "c", "d")
        await store.create_run(a_run("c2", "u", previous_run_id="b"), a_thread("u"))
        await store.create_run(a_run("d2", "u", previous_run_id="c2"), None)

        async def led(run_id: str) -> list[str]:
            return [response.id for response in await store.chain(run_id)]

        assert await led("a") == ["a"]
        assert await led("d") == ["a", "b", "c", "d"]
        assert await led("d2") == ["a", "b", "c2", "d2"]

    async def test_a_chain_with_a_missing_link_is_not_found(self, store: Store) -> None:
        """Whatever link is not there: half of it would be another conversation."""
        await store.create_thread(a_thread("t"))
        await make_chain(store, "a", "b", "c")
        for run_id in ("a", "b", "c"):
            await end(store, run_id)
        await refused(store.chain("x"), NotFound)
        await store.delete_run("a")
        assert "'a'" in (await refused(store.chain("c"), NotFound)).message

    async def test_a_long_chain_is_read_whole(self, store: Store) -> None:
        """Hundreds of turns."""
        await store.create_thread(a_thread("t"))
        run_ids = [f"r{number}" for number in range(300)]
        await make_chain(store, *run_ids)
        assert [response.id for response in await store.chain("r299")] == run_ids

    async def test_runs_that_go_in_a_circle_are_refused(self, store: Store) -> None:
        """It cannot be made by those who look at the chain first; who makes it all the same gets an error."""
        await store.create_run(a_run("r", previous_run_id="r"), a_thread("t"))
        await refused(store.chain("r"), TooLarge)

    async def test_runs_that_go_on_from_a_run_do_not_hold_the_thread(self, store: Store) -> None:
        """Any number of them is live beside each other and beside the one that does; the thread outlives them all."""
        await fill(store, "first")
        made = [a_run(f"b{number}", previous_run_id="first") for number in range(5)]
        assert await asyncio.gather(*(store.create_run(run, None) for run in made)) == made
        assert await store.live_run("t") is None
        await store.create_run(a_run("holder"), None)
        await store.create_run(a_run("b5", previous_run_id="first"), None)
        assert await store.live_run("t") == "holder"
        assert (await refused(store.create_run(a_run("second"), None), Conflict)).details == {"run_id": "holder"}
        assert len(await store.live_runs()) == 7
        await end(store, "holder")
        live = {f"b{number}" for number in range(6)}
        while live:
            busy = (await refused(store.delete_thread("t"), Conflict)).details["run_id"]
            live.remove(busy)
            await end(store, busy)
        assert len(await store.delete_thread("t")) == 8

    async def test_a_run_that_goes_on_from_another_needs_its_thread_and_its_id(self, store: Store) -> None:
        """As any run does."""
        await refused(store.create_run(a_run("r", "x", previous_run_id="p"), None), NotFound)
        run = a_run("r", previous_run_id="p")
        assert await store.create_run(run, a_thread("t")) == run
        assert await store.create_run(run, None) == run
        await refused(store.create_run(a_run("r", digest="other", previous_run_id="p"), None), Conflict)
        await refused(store.create_run(a_run("r2", previous_run_id="p"), a_thread("t")), Conflict)

    # --- what is not kept -------------------------------------------------------------------------------------------

    async def test_a_run_that_is_not_to_be_kept_is_in_no_list(self, store: Store) -> None:
        """It can be had by its id, and it is looked after while it lives."""
        await fill(store, "kept")
        await store.create_run(a_run("r", store=False), None)
        assert [run.id for run in await store.thread_runs("t")] == ["kept"]
        assert [run.id for run in (await store.list_runs(thread_id="t", status=None, limit=9, cursor=None))[0]] == [
            "kept"
        ]
        assert [run.request.run_id for run in await store.live_runs()] == ["r"]
        assert await store.live_run("t") == "r"
        assert (await store.get_run("r")).request.store is False
        assert [run.id for run in await store.chain("r")] == ["r"]
        await store.create_run(a_run("only", "u", store=False), a_thread("u"))
        assert await store.thread_runs("u") == []

    async def test_events_are_kept_as_long_as_retention_says(self, store: Store) -> None:
        """Archives of runs that ended before go, the oldest first, in portions; what came of the runs stays."""
        for number in range(5):
            thread_id = f"t{number}"
            await store.create_run(a_run(f"r{number}", thread_id), a_thread(thread_id))
            await archive(store, f"r{number}", thread_id, seq=10 * number + 5)

        async def kept() -> list[bool]:
            archives = [await store.archived(f"r{number}") is not None for number in range(5)]
            assert [(await store.get_run(f"r{number}")).expired for number in range(5)] == [not is_ for is_ in archives]
            return archives

        assert await store.apply_retention(NOW) == 0
        assert await kept() == [True] * 5
        assert [await store.apply_retention(NOW + 26, limit=2) for _ in range(3)] == [2, 1, 0]
        assert await kept() == [False, False, False, True, True]
        assert (await store.get_run("r0")).response == a_response("r0", "t0", "complete", 5)
        await archive(store, "r0", "t0", seq=5)
        assert await kept() == [False, False, False, True, True]
        assert await store.delete_thread("t0") == ["r0"]

    async def test_runs_that_are_not_to_be_kept_are_found_when_they_have_ended(self, store: Store) -> None:
        """Not while they live, not those that are to be kept; the oldest first."""
        for number, kept in enumerate([False, True, False, False]):
            run = a_run(f"r{number}", f"t{number}")
            await store.create_run(replace(run, request=replace(run.request, store=kept)), a_thread(f"t{number}"))
        for number in (2, 1, 0):
            await archive(store, f"r{number}", f"t{number}", seq=10 * number + 5)
        assert await store.unkept(NOW + 1000) == ["r0", "r2"]
        assert await store.unkept(NOW + 1000, limit=1) == ["r0"]
        assert await store.unkept(NOW + 10) == ["r0"]
        await store.delete_run("r0")
        assert await store.unkept(NOW + 1000) == ["r2"]

    # --- deletion ---------------------------------------------------------------------------------------------------

    async def test_c57_a_deleted_thread_is_gone_with_all_that_is_its(self, store: Store) -> None:
        """Runs, snapshots, archives, tags; its logs are doomed until they are known to be gone. Others stay."""
        await store.create_thread(a_thread("t", tags=["x"]))
        for run_id in ("r1", "r2"):
            await store.create_run(a_run(run_id), None)
            projection = Projection(response=a_response(run_id, "t", "complete", 5), archive=a_log(run_id))
            await store.project([projection])
        await fill(store, "other", thread_id="u")
        assert await store.delete_thread("t") == ["r1", "r2"]
        await refused(store.get_thread("t"), NotFound)
        for run_id in ("r1", "r2"):
            await refused(store.get_run(run_id), NotFound)
            assert await store.archived(run_id) is None
        assert (await store.list_threads(tag="x", limit=9, cursor=None))[0] == []
        assert sorted(await store.doomed_logs()) == ["r1", "r2"]
        await store.logs_deleted(["r1"])
        assert await store.doomed_logs() == ["r2"]
        await store.logs_deleted(["r2", "unknown"])
        await store.logs_deleted([])
        assert await store.doomed_logs() == []
        assert (await store.get_run("other")).response.status == "complete"

    async def test_a_deleted_run_is_gone_with_all_that_is_its(self, store: Store) -> None:
        """Its thread and the other runs stay; a live one is not deleted; its log is doomed."""
        await fill(store, "other")
        await store.create_run(a_run("r"), None)
        assert (await refused(store.delete_run("r"), Conflict)).details["run_id"] == "r"
        large = replace(a_response("r", "t", "complete", 5), output_items=[an_output(1, 2_000_000)])
        await store.project([Projection(response=large, archive=a_log("r"))])
        await store.delete_run("r")
        await refused(store.get_run("r"), NotFound)
        await refused(store.delete_run("r"), NotFound)
        assert await store.archived("r") is None
        assert [run.id for run in await store.thread_runs("t")] == ["other"]
        assert await store.doomed_logs() == ["r"]
        await store.create_run(a_run("r", digest="another"), None)
        await end(store, "r")
        assert await store.delete_thread("t") == ["other", "r"]
        assert sorted(await store.doomed_logs()) == ["other", "r"]

    async def test_a_thread_with_a_live_run_stays(self, store: Store) -> None:
        """The refusal says which run."""
        await fill(store, "r1")
        await store.create_run(a_run("r2"), None)
        assert (await refused(store.delete_thread("t"), Conflict)).details["run_id"] == "r2"
        assert [response.id for response in await store.thread_runs("t")] == ["r1", "r2"]
        assert await store.doomed_logs() == []

    async def test_a_thread_deleted_under_a_new_run_or_the_other_way_round(self, store: Store) -> None:
        """Either comes first; never a run without a thread."""
        for turn in range(5):
            thread_id = f"t{turn}"
            await store.create_thread(a_thread(thread_id))
            made, deleted = await asyncio.gather(
                store.create_run(a_run(f"r{turn}", thread_id), None),
                store.delete_thread(thread_id),
                return_exceptions=True,
            )
            if isinstance(made, StoredRun):
                assert isinstance(deleted, Conflict)
                assert len(await store.thread_runs(thread_id)) == 1
            else:
                assert isinstance(made, NotFound)
                await refused(store.get_thread(thread_id), NotFound)

    # --- the whole --------------------------------------------------------------------------------------------------

    async def test_a_closed_store_is_not_ready(self, store: Store) -> None:
        """Whatever is asked of it; closing it again is no error."""
        await store.create_thread(a_thread("t"))
        await store.ping()
        await store.close()
        for call in (store.ping(), store.get_thread("t"), store.create_thread(a_thread("u")), store.live_runs()):
            await refused(call, NotReady)
        await store.close()
