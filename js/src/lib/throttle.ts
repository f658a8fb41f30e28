export interface Throttled<A extends unknown[]> {
  (...args: A): void;
  /** Runs the call that is still waiting, now. */
  flush(): void;
  /** Forgets the call that is still waiting. */
  cancel(): void;
}

/** At most one call per `wait` ms: the first at once, the newest of those that came too early when the time is up. */
export function throttle<A extends unknown[]>(call: (...args: A) => void, wait: number): Throttled<A> {
  let last = Number.NEGATIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let waiting: A | undefined;

  const run = () => {
    clearTimeout(timer);
    timer = undefined;
    const args = waiting;
    waiting = undefined;
    if (!args) return;
    last = performance.now();
    call(...args);
  };
  const throttled = (...args: A) => {
    waiting = args;
    const due = last + wait - performance.now();
    if (due <= 0) run();
    else timer ??= setTimeout(run, due);
  };
  throttled.flush = run;
  throttled.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
    waiting = undefined;
  };
  return throttled;
}
