// What the page remembers of a model's views: a view that is made anew, as when its cell is moved, begins where the
// last one was. For as long as the page and the model live, and never sent or saved.

import { type Signal, signal } from "@preact/signals";
import type { AnyModel } from "./model";

export type Memory = Map<string, unknown>;

const memories = new WeakMap<object, Memory>();

/** Every view gets a proxy of its own for the model; the model of its layout is the same for all. */
export function memoryOf(model: AnyModel): Memory {
  const layout = model.get("layout");
  const key = typeof layout === "object" && layout !== null ? layout : model;
  const known = memories.get(key) ?? new Map();
  memories.set(key, known);
  return known;
}

/** A view's own signal that begins with what the last view's was. */
export function remembered<T>(memory: Memory, name: string, initial: T): Signal<T> {
  const kept = signal(memory.has(name) ? (memory.get(name) as T) : initial);
  kept.subscribe((value) => memory.set(name, value));
  return kept;
}
