import type { AnyModel } from "../src/common/model";

type Callback = (...args: unknown[]) => void;

/** A model without a kernel: Backbone's manners, as far as the panel needs them, and an ear for what the page says. */
export class FakeModel implements AnyModel {
  readonly listeners = new Map<string, Set<Callback>>();
  /** What would have gone to the kernel. */
  readonly sent: { message: Record<string, unknown>; buffers: unknown[] }[] = [];
  readonly saved: Record<string, unknown>[] = [];
  onSend: ((message: Record<string, unknown>, buffers: unknown[]) => void) | undefined;
  onSave: ((changes: Record<string, unknown>) => void) | undefined;
  #dirty: Record<string, unknown> = {};

  constructor(readonly state: Record<string, unknown> = {}) {}

  get(name: string): unknown {
    return this.state[name];
  }

  set(name: string, value: unknown): void {
    if (this.state[name] === value) return;
    this.#dirty[name] = value;
    this.receive(name, value);
  }

  save_changes(): void {
    const changes = this.#dirty;
    this.#dirty = {};
    this.saved.push(changes);
    this.onSave?.(changes);
  }

  send(content: unknown, _callbacks?: unknown, buffers: unknown[] = []): void {
    const message = content as Record<string, unknown>;
    this.sent.push({ message, buffers });
    this.onSend?.(message, buffers);
  }

  on(name: string, callback: Callback): void {
    const known = this.listeners.get(name) ?? new Set();
    known.add(callback);
    this.listeners.set(name, known);
  }

  off(name: string, callback: Callback): void {
    this.listeners.get(name)?.delete(callback);
  }

  /** The kernel sets a trait. */
  receive(name: string, value: unknown): void {
    this.state[name] = value;
    this.emit(`change:${name}`);
  }

  /** Something happens to the model: its listeners hear it. */
  emit(name: string, ...args: unknown[]): void {
    for (const callback of [...(this.listeners.get(name) ?? [])]) callback(...args);
  }

  /** How many listeners are left, of any kind. */
  get listening(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}
