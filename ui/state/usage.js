// Adding up token counts: a run's usage is the sum of its steps' (docs/protocol.md, "The Response").

const COUNTED = ["prompt_tokens", "completion_tokens", "total_tokens"];
const DETAILS = ["cached_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd"];

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The sum; a detail that no step reported stays absent. Undefined where no step reported anything. */
export function total(usages) {
  const known = usages.filter((usage) => usage !== undefined && usage !== null);
  if (known.length < 2) return known[0];
  const added = {};
  for (const name of COUNTED) added[name] = sum(known.map((usage) => usage[name]));
  for (const name of DETAILS) {
    const reported = known.map((usage) => usage[name]).filter((value) => value !== undefined && value !== null);
    if (reported.length) added[name] = sum(reported);
  }
  return added;
}
