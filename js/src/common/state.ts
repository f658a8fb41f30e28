// What one view of a panel knows beyond the model: how it is looked at. Nothing of it is synced.

import { type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Memory } from "./memory";
import type { Connection, Host } from "./model";
import type { CommonMessage, CommonTraits } from "./wire";

/** What every panel's view has. `T` are the panel's traits, `M` what its page says to Python. */
export interface PanelState<T extends CommonTraits = CommonTraits, M extends object = CommonMessage> {
  connection: Connection<T>;
  traits: Connection<T>["traits"];
  host: Host | undefined;
  /** Random, so that two views of one model can be told apart. */
  view: string;
  root: HTMLElement;
  /** What the last view of this model left behind. */
  memory: Memory;
  /** Where the sparsity handle is while the user holds it: until then the kernel's word counts. */
  held: Signal<number | null>;
  /** A sentence about something that went wrong on the page. */
  pageError: Signal<string>;
  /** What is said to those who listen instead of looking. */
  announcement: Signal<string>;
  id(name: string): string;
  send(message: M, buffers?: ArrayBufferView[]): void;
}

export function createState<T extends CommonTraits, M extends object>(
  connection: Connection<T>,
  host: Host | undefined,
  root: HTMLElement,
  memory: Memory,
): PanelState<T, M> {
  const view = `sw-${Math.random().toString(36).slice(2, 10)}`;
  return {
    connection,
    traits: connection.traits,
    host,
    view,
    root,
    memory,
    held: signal<number | null>(null),
    pageError: signal(""),
    announcement: signal(""),
    id: (name) => `${view}-${name}`,
    send: (message, buffers) => connection.send(message, buffers),
  };
}

export const PanelContext = createContext<PanelState | null>(null);

/** What the components that every panel has know of theirs. */
export function usePanel(): PanelState {
  const state = useContext(PanelContext);
  if (!state) throw new Error("a component of the panel is used outside of it");
  return state;
}
