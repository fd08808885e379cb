// The runs of a thread as the tree that they are, where messages were edited or asked again (docs/protocol.md, "Branches").

/** One way through the tree at a time; of several ways the one to the newest run, unless another one was chosen. */
export class Branches {
  #chosen = new Map(); // run (null: the beginning) -> the one that is shown after it
  #tree = { runs: null, length: 0, parents: new Map(), children: new Map(), newest: new Map() };

  /** The tree of `runs`, in the order they were made: read anew where there are others. */
  #of(runs) {
    if (this.#tree.runs === runs && this.#tree.length === runs.length) return this.#tree;
    const byId = new Map();
    const parents = new Map(); // run -> the one that it goes on from; null for none
    runs.forEach((run, at) => {
      parents.set(run, (run.after === undefined ? runs[at - 1] : byId.get(run.after)) ?? null);
      byId.set(run.id, run);
    });
    const children = new Map(); // run -> those that go on from it
    for (const [run, parent] of parents) children.set(parent, [...(children.get(parent) ?? []), run]);
    const newest = new Map(); // run -> the one of its children that leads to the newest run behind it
    for (const run of [...runs].reverse())
      for (let at = run; at && !newest.has(parents.get(at)); at = parents.get(at)) newest.set(parents.get(at), at);
    this.#tree = { runs, length: runs.length, parents, children, newest };
    return this.#tree;
  }

  /** The shown runs, in order. */
  path(runs) {
    const { children, newest } = this.#of(runs);
    const path = [];
    for (let at = null; ; at = path.at(-1)) {
      const next = children.get(at);
      if (!next) return path;
      const chosen = this.#chosen.get(at);
      path.push(next.includes(chosen) ? chosen : newest.get(at));
    }
  }

  /** The runs that go on from where this one does, itself among them. */
  siblings(runs, run) {
    const { parents, children } = this.#of(runs);
    return children.get(parents.get(run));
  }

  /** The run that this one goes on from; null for none. */
  parent(runs, run) {
    return this.#of(runs).parents.get(run);
  }

  /** Show the way to this run. */
  show(runs, run) {
    const { parents } = this.#of(runs);
    for (let at = run; at; at = parents.get(at)) this.#chosen.set(parents.get(at), at);
  }
}
