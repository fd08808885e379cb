"""Conversations made short: what stays, what goes, and when it is due."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.fold.compaction import (
    ASK,
    LEAD,
    CompactionPolicy,
    compaction_item,
    compaction_of,
    fitted,
    has_failed,
    kept,
    planned,
    refusal,
    shortened,
    source_tokens,
    summed_up,
    tokens_of,
)
from tailrace.fold.estimate import size
from tailrace.runs.history import conversation
from tailrace.schema.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    ImagePart,
    MessageItem,
    ProviderItem,
)
from tailrace.schema.request import Generation, Tool
from tailrace.schema.response import Step, Usage
from tests.support.items import agent as said
from tests.support.items import any_items, ask, call, output, run, system, thought, user

LONG = "it is blue " * 200


def summary(text="in short", **fields):
    return compaction_item("cmp_1", text, **fields)


def texts(items):
    return [getattr(item, "content", None) or getattr(item, "output", None) or item.type for item in items]


def step(number=1, *, purpose=None, finish="stop", **usage):
    used = Usage(total_tokens=0, **{"prompt_tokens": 0, "completion_tokens": 0, **usage}) if usage else None
    return Step(step=number, provider_id="here", model_id="m", finish_reason=finish, usage=used, purpose=purpose)


def pairs_are_whole(items):
    """Each call has its output behind it, each output its call before it, and nothing but outputs comes between."""
    waiting = []
    for item in items:
        if isinstance(item, FunctionCallOutputItem):
            assert item.call_id in waiting
            waiting.remove(item.call_id)
        elif isinstance(item, FunctionCallItem):
            waiting.append(item.call_id)
        elif isinstance(item, MessageItem) and item.origin != "agent":
            assert not waiting
    assert not waiting


# --- the law -----------------------------------------------------------------------------------------------------

histories = st.lists(any_items, max_size=4)


@given(histories)
def test_c68_pairs_are_whole_and_the_last_compaction_wins(runs):
    """Whatever runs left, wherever they were summed up: no call and no output alone; none of what was said and done
    before the last summary but the user's words; of the summaries the last one alone."""
    earlier = [run(*items) for items in runs]
    items = conversation(earlier, run())
    pairs_are_whole(items)
    assert not any(compaction_of(item) for item in items)
    last = next((item for each in reversed(runs) for item in reversed(each) if compaction_of(item)), None)
    leads = [item for item in items if isinstance(item, MessageItem) and item.content.startswith(LEAD)]
    assert [item.content for item in leads] == ([LEAD + compaction_of(last).summary] if last else [])
    if last is not None:
        before = items[: items.index(leads[0])]
        assert all(isinstance(item, MessageItem) and item.origin != "agent" for item in before)


@given(histories, st.text(max_size=200), st.integers(0, 400))
def test_c68_a_summary_that_is_taken_makes_the_conversation_shorter(runs, text, user_tokens):
    """And one that is not is told why; what is taken is what the next call is given."""
    earlier = [run(*items) for items in runs]
    items = conversation(earlier, run(user("go on")))
    item = summary(text, user_tokens=user_tokens)
    after = conversation(earlier, run(user("go on"), item))
    why = refusal(items, item, "stop")
    if why is None:
        assert size(after) < size(items)
    else:
        assert why in {"the summary is empty", "the summary is no shorter than what it replaces"}
    pairs_are_whole(after)


@given(any_items, st.integers(0, 400))
def test_what_is_summed_up_fits_and_its_pairs_are_whole(items, tokens):
    """The oldest goes first; the last turn stays."""
    whole = conversation([], run(*items))
    part = fitted(whole, tokens)
    pairs_are_whole(part)
    assert size(part) <= max(size(whole), tokens)
    assert bool(part) == bool(whole)


# --- what stays --------------------------------------------------------------------------------------------------


def test_what_waits_for_an_answer_stands_behind_the_summary():
    """It is no part of it; what was said before is, and stays, too."""
    items = [user("first"), said("long ago"), user("now"), user("please")]
    assert texts(shortened([*items, summary(waiting=2), said("so")])) == [
        "first", f"{LEAD}in short", "now", "please", "so",
    ]  # fmt: skip
    assert texts(summed_up(items)) == ["first", "long ago"]


def test_the_users_newest_words_are_kept_first():
    """As far as there is room; the one that is longer is cut in the middle, an earlier summary is not kept."""
    items = [user("oldest"), user(LONG), user(f"{LEAD}old"), system("be brief"), user("newest")]
    assert texts(kept(items, 10_000)) == ["oldest", LONG, "be brief", "newest"]
    cut, *rest = kept(items, 200)
    assert texts(rest) == ["be brief", "newest"]
    assert cut.content.startswith("it is blue")
    assert "characters are left out here" in cut.content
    assert size([cut, rest[-1]]) <= 200
    assert texts(kept(items, 0)) == ["be brief"]


def test_a_picture_that_has_no_room_goes():
    """It cannot be cut."""
    seen = user("", parts=[ImagePart(url="https://host/a.png")])
    assert kept([seen, user("what is it?")], 100) == [user("what is it?")]
    assert kept([seen, user("what is it?")], 1000) == [seen, user("what is it?")]


def test_what_was_let_go_of_does_not_come_back():
    """A later compaction that keeps more has only what the earlier one left."""
    items = [user("oldest " * 40), said("x"), summary("one", user_tokens=0), user("newer"), said("y"), summary("two")]
    assert texts(shortened(items)) == ["newer", f"{LEAD}two"]


def test_reasoning_goes_with_its_step():
    """What is sealed stays with what came after the summary, and goes with what came before."""
    old, new = thought(kind="signature", data="old"), thought(kind="signature", data="new")
    items = [user("x"), old, call("c1"), output("c1"), summary(), new, call("c2"), output("c2")]
    assert shortened(items)[2:] == [new, call("c2"), output("c2")]


def test_a_vendors_own_compaction_is_not_ours():
    """It goes back where it came from."""
    theirs = ProviderItem(id="cmp", provider_type="compaction", data={"content": "x", "encrypted_content": "y"})
    assert compaction_of(theirs) is None
    assert conversation([], run(user("x"), said("y"), theirs)) == [user("x"), said("y"), theirs]


def test_ours_is_understood_by_every_provider():
    """Another provider's run begins with it, too."""
    first = run(user("x"), said("y" * 100), summary(), provider="elsewhere")
    assert texts(conversation([first], run(user("z")))) == ["x", f"{LEAD}in short", "z"]


def test_what_a_client_sends_as_ours_may_be_odd():
    """Then it is no compaction, or one with the usual rest."""
    odd = replace(summary(), data={"created_by": "tailrace", "content": "s", "user_tokens": "many", "waiting": None})
    assert compaction_of(odd) == compaction_of(summary("s"))
    assert compaction_of(replace(odd, data={"created_by": "tailrace", "content": 7})) is None
    assert compaction_of(replace(odd, data=[])) is None


# --- when --------------------------------------------------------------------------------------------------------


def runs_of(*items, steps):
    return [replace(run(*items), steps=list(steps))]


def test_c7_the_providers_own_count_is_what_counts():
    """What its last call cost, cached tokens and the answer included, and an estimate of what came since."""
    items = [user("x"), said("y"), call(), output("c1", "z" * 400)]
    steps = [step(prompt_tokens=900, completion_tokens=50), step(2)]
    assert tokens_of(runs_of(*items, steps=steps), items, Generation()) == 950 + 104
    assert tokens_of(runs_of(*items, steps=[step()]), items, Generation(instructions="i" * 40)) == size(items) + 10


def test_a_count_from_before_the_last_summary_counts_no_more():
    """But for a summary that came to nothing."""
    items, steps = [user("x"), summary()], [step(prompt_tokens=900), step(2, purpose="compaction", prompt_tokens=990)]
    assert tokens_of(runs_of(*items, steps=steps), items, Generation()) == size(items)
    assert tokens_of(runs_of(user("x"), steps=steps), [user("x")], Generation()) == 900 + size([user("x")])


def test_what_a_provider_says_to_itself_is_not_the_conversation():
    """Where it ran tools of its own, its count is of several calls: an estimate is nearer."""
    searched = ProviderItem(id="ws", provider_type="web_search_call", data={"id": "ws"})
    items = [user("x"), searched, said("y")]
    assert tokens_of(runs_of(*items, steps=[step(prompt_tokens=90_000)]), items, Generation()) == size(items)


def test_it_is_tried_once_in_a_run():
    """A summary that failed is not asked for again; one whose worker was lost is."""
    assert has_failed(run()) is False
    for finish, failed in (("error", True), ("stop", True), ("cancelled", False), (None, False)):
        assert has_failed(replace(run(), steps=[step(purpose="compaction", finish=finish)])) is failed
    assert has_failed(replace(run(summary()), steps=[step(purpose="compaction")])) is False


def due(*items, window=1000, used=800, overflowed=False, policy=None, steps=None, **generation):
    runs = runs_of(*items, steps=[step(prompt_tokens=used)] if steps is None else steps)
    asked = ask(*items, **generation)
    return planned(runs, asked, policy or CompactionPolicy(), window, "cmp_1", overflowed=overflowed)


def test_a_summary_is_due_near_the_end_of_the_window():
    """At the threshold, or where an answer of the length that is asked for would not fit."""
    items = [user("x"), said(LONG), call(), output("c1", "")]
    assert due(*items, used=794) is None
    assert due(*items, used=796) is not None
    assert due(*items, used=596, max_output_tokens=400) is not None
    assert due(*items, used=496, max_output_tokens=4000) is not None
    assert due(*items, used=400, max_output_tokens=4000) is None
    assert due(*items, used=400, policy=CompactionPolicy(threshold=0.4)) is not None
    assert due(*items, used=400, policy=CompactionPolicy(context_tokens=500)) is not None
    assert due(*items, used=9999, policy=CompactionPolicy(threshold=0.0)) is None
    assert due(*items, used=9999, window=None) is None
    assert due(*items, used=9999, window=None, policy=CompactionPolicy(context_tokens=500)) is not None


def test_a_long_first_message_has_nothing_to_sum_up():
    """Nor has what was summed up just now: the provider says what is wrong."""
    assert due(user(LONG), used=9999, overflowed=True) is None
    assert due(*shortened([user("x"), said(LONG), summary(), user("y")]), used=9999, overflowed=True) is None
    assert due(user("x"), said(LONG), used=9999, overflowed=True, window=None) is not None
    failed = [step(1, purpose="compaction", finish="error"), step(2)]
    assert due(user("x"), said(LONG), overflowed=True, steps=failed) is None


def test_a_summary_is_asked_for_as_the_answers_are():
    """The same beginning, so that the provider's cache serves; but no tool may be called."""
    items = [user("x"), said(LONG), user("y")]
    plan = due(
        *items, used=850, instructions="be kind", tools=[Tool(name="look")], tool_choice="required", stop=["."],
        max_output_tokens=20, reasoning_effort="low",
    )  # fmt: skip
    assert plan.request.items[:-1] == items[:2]
    assert plan.request.items[-1].content == ASK
    asked = plan.request.generation
    assert asked == Generation(
        instructions="be kind", tools=[Tool(name="look")], tool_choice="none", reasoning_effort="low"
    )


def test_what_does_not_fit_is_cut_before_it_is_summed_up():
    """Long texts in their middle, then the oldest turns; half of it where nobody knows how much is too much."""
    assert source_tokens(1000, 800, 1000) == 1000
    assert source_tokens(1000, 1800, 1000) == 500
    assert source_tokens(1000, None, 1000) == source_tokens(1000, None, None) == 500
    items = [user("a"), said(LONG), call("c1"), output("c1", LONG), said("b"), user("c"), said("d")]
    assert fitted(items, 10_000) == items
    assert texts(fitted(items, 12)) == ["c", "d"]
    part = fitted(items, 600)
    assert size(part) <= 600
    assert len(part) == len(items)


def test_what_becomes_of_a_summary():
    """It is taken where it is whole, says something, and makes the conversation shorter."""
    judge = due(user("x"), said(LONG), user("y"), used=900).judge
    assert judge("in short", "stop") == summary(user_tokens=200, waiting=1)
    assert judge("", "stop") == "the summary is empty"
    assert judge(LONG * 2, "stop") == "the summary is no shorter than what it replaces"
    assert judge("in sh", "length") == "the summary is not whole: it ended with length"
