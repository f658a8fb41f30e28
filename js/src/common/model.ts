// The thin adapter between an anywidget model and plain state: a signal a trait, and one way back.

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { type Throttled, throttle } from "../lib/throttle";
import { watchKernel } from "./kernel";

type Callback = (...args: unknown[]) => void;

/** What we use of an anywidget model (its proxy in `render`). */
export interface AnyModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[] | ArrayBufferView[]): void;
  on(name: string, callback: Callback): void;
  off(name: string, callback: Callback): void;
}

/** What we use of anywidget's host (0.11): children, rendered into our own DOM. */
export interface Host {
  getWidget(
    ref: string,
  ): Promise<{ render(target: { el: HTMLElement; signal?: AbortSignal }): Promise<unknown> }>;
}

/** What we use of the model of a widget's layout, where it is one. */
interface Layout {
  readonly comm_live?: boolean;
  readonly widget_manager?: Parameters<typeof watchKernel>[0];
}

export interface Connection<T extends object> {
  /** A signal a trait, always equal to the model. */
  readonly traits: { readonly [K in keyof T]: ReadonlySignal<T[K]> };
  /** A trait that is one of many; undefined while Python has not made it. */
  numbered(name: string, number: number): ReadonlySignal<unknown>;
  /** False while the kernel is known to be gone or out of reach: nothing that is set would be answered. */
  readonly live: ReadonlySignal<boolean>;
  /** Whether it is only out of reach: the page tries to get the connection back. */
  readonly lost: ReadonlySignal<boolean>;
  /** Whether there was none from the start: a saved notebook's panel, reopened. */
  readonly saved: boolean;
  set<K extends keyof T & string>(name: K, value: T[K]): void;
  /** `set`, at most every 40 ms: for a handle that is being dragged. A later `set` of the same trait overtakes it. */
  setSoon<K extends keyof T & string>(name: K, value: T[K]): void;
  send(message: object, buffers?: ArrayBufferView[]): void;
  onMessage(callback: (message: unknown, buffers: readonly unknown[]) => void): () => void;
  /** Sends what is still waiting and takes every listener off the model. */
  dispose(): void;
}

const INTERVAL_MS = 40;

/** A trait that has no value yet comes as null, or as `{}`: what is missing is the default's. */
function complete<V>(value: unknown, fallback: V): V {
  if (value === null || value === undefined) return fallback;
  const record = typeof fallback === "object" && Object.getPrototypeOf(fallback ?? 0) === Object.prototype;
  return record ? { ...fallback, ...value } : (value as V);
}

export function connect<T extends object>(model: AnyModel, defaults: T): Connection<T> {
  const names = Object.keys(defaults) as (keyof T & string)[];
  const read = <K extends keyof T & string>(name: K): T[K] => complete(model.get(name), defaults[name]);

  // The proxy does not tell whether there is a kernel behind it; the model of its layout is none, and tells.
  const layout = model.get("layout") as Layout | null | undefined;
  const saved = layout?.comm_live === false;
  const comm = signal(!saved);
  const kernel = watchKernel(saved ? undefined : layout?.widget_manager);
  const live = computed(() => comm.value && kernel.state.value === "there");
  const lost = computed(() => comm.value && kernel.state.value === "lost");
  const signals = Object.fromEntries(names.map((name) => [name, signal(read(name))])) as {
    [K in keyof T]: Signal<T[K]>;
  };
  const listeners: [string, Callback][] = [];
  const listen = (name: string, callback: Callback) => {
    // The proxy does not tell whether the comm lives, but calls back with the view as `this`, which knows.
    const heard = function (this: unknown, ...args: unknown[]) {
      const owner = this as { model?: { comm_live?: boolean } } | undefined;
      if (typeof owner?.model?.comm_live === "boolean") {
        if (owner.model.comm_live && !comm.peek()) kernel.renew();
        comm.value = owner.model.comm_live;
      }
      callback(...args);
    };
    listeners.push([name, heard]);
    model.on(name, heard);
    return heard;
  };

  const numbered = new Map<string, Signal<unknown>>();

  for (const name of names) {
    listen(`change:${name}`, () => {
      signals[name].value = read(name);
    });
  }
  listen("comm_live_update", () => {});
  listen("comm:close", () => {
    comm.value = false;
  });

  /** A dead comm throws (or worse, says nothing): the panel says so once instead of failing on every click. */
  const attempt = (action: () => void) => {
    try {
      action();
    } catch (reason) {
      console.warn("the kernel did not take a message", reason);
      comm.value = false;
    }
  };

  const waiting = new Map<string, Throttled<[unknown]>>();
  const push = (name: string, value: unknown) =>
    batch(() =>
      attempt(() => {
        model.set(name, value);
        model.save_changes();
      }),
    );

  return {
    traits: signals,
    live,
    lost,
    saved,
    numbered(name, number) {
      const whole = `${name}_${number}`;
      const known = numbered.get(whole);
      if (known) return known;
      const made = signal(model.get(whole));
      numbered.set(whole, made);
      listen(`change:${whole}`, () => {
        made.value = model.get(whole);
      });
      return made;
    },
    set(name, value) {
      waiting.get(name)?.cancel();
      push(name, value);
    },
    setSoon(name, value) {
      let soon = waiting.get(name);
      if (!soon) {
        soon = throttle((newest: unknown) => push(name, newest), INTERVAL_MS);
        waiting.set(name, soon);
      }
      soon(value);
    },
    send(message, buffers = []) {
      attempt(() => model.send(message, undefined, buffers));
    },
    onMessage(callback) {
      const heard = listen("msg:custom", (message, buffers) =>
        callback(message, (buffers as unknown[]) ?? []),
      );
      return () => {
        const at = listeners.findIndex(([, known]) => known === heard);
        if (at < 0) return;
        listeners.splice(at, 1);
        model.off("msg:custom", heard);
      };
    },
    dispose() {
      for (const soon of waiting.values()) soon.flush();
      kernel.end();
      for (const [name, callback] of listeners.splice(0)) model.off(name, callback);
    },
  };
}
