// A thread as a list of rows: each item of each run that is shown by itself, and the foot of each run.

const ANSWERS = { function_call_output: "call_id", script_execution_output: "script_id" };
const ASKS = { function_call: "call_id", script_execution: "id" };

/** [{key, run, id, answer?}], {key, run, isBranch: true} behind a run's question, and {key, run} for a foot. */
export function rowsOf(runs) {
  return runs.flatMap((run) => {
    const [asked, ...others] = itemRows(run);
    const branch = { key: `${run.id}/branch`, run, isBranch: true };
    return [...(asked ? [asked, branch] : []), ...others, { key: `${run.id}/`, run }];
  });
}

const cache = new WeakMap(); // reducer -> item id -> {type, named}

function itemRows(run) {
  const { reducer } = run;
  const ids = reducer.itemIds;
  const asks = new Map(); // what an answer names -> the row that asked
  const rows = [];
  for (const id of ids) {
    const { type, named } = kept(reducer, id);
    const asked = ANSWERS[type] && asks.get(named);
    if (asked) {
      asked.answer = id;
      continue;
    }
    const row = { key: `${run.id}/${id}`, run, id };
    if (ASKS[type]) asks.set(named, row);
    rows.push(row);
  }
  return rows;
}

/** An item's type, and the name by which calls and their answers find each other; neither changes while it grows. */
function kept(reducer, id) {
  const known = cache.get(reducer) ?? new Map();
  cache.set(reducer, known);
  let facts = known.get(id);
  if (!facts) {
    const item = reducer.item(id);
    const field = ANSWERS[item.type] ?? ASKS[item.type];
    facts = { type: item.type, named: field && item[field] };
    known.set(id, facts);
  }
  return facts;
}
