/** What is to be done when: keys with a time each, the earliest first. Times are of the monotonic clock, in milliseconds. */
export class Agenda<K> {
  readonly #due = new Map<K, number>();
  /** A binary heap. An entry that was moved stays where it was until it comes to the top. */
  readonly #heap: { readonly key: K; readonly at: number }[] = [];

  get size(): number {
    return this.#due.size;
  }

  has(key: K): boolean {
    return this.#due.has(key);
  }

  /** Sets or moves the time of `key`. */
  set(key: K, at: number): void {
    const before = this.#due.get(key);
    this.#due.set(key, at);
    // A later time is found out when the earlier entry comes to the top.
    if (before === undefined || at < before) this.#push({ key, at });
  }

  /** Sets the time of `key` unless it has an earlier one. */
  setEarlier(key: K, at: number): void {
    const before = this.#due.get(key);
    if (before === undefined || at < before) this.set(key, at);
  }

  delete(key: K): void {
    this.#due.delete(key);
  }

  clear(): void {
    this.#due.clear();
    this.#heap.length = 0;
  }

  /** The earliest time, `null` when there is nothing to do. */
  next(): number | null {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      const at = this.#due.get(top.key);
      if (at === top.at) return at;
      this.#pop();
      if (at !== undefined && at > top.at) this.#push({ key: top.key, at });
    }
    return null;
  }

  /** Takes out everything that is due at `now`, the earliest first. */
  takeDue(now: number): K[] {
    const taken: K[] = [];
    for (let at = this.next(); at !== null && at <= now; at = this.next()) {
      const { key } = this.#pop()!;
      this.#due.delete(key);
      taken.push(key);
    }
    return taken;
  }

  #push(entry: { readonly key: K; readonly at: number }): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]!.at <= entry.at) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): { readonly key: K; readonly at: number } | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    while (true) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= last.at) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}
