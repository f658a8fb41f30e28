// What one view of the panel knows beyond the model: how it is looked at. Nothing of it is synced.

import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { type Viewport, whole } from "./lib/viewport";
import type { Connection, Host } from "./model";
import type { PageMessage, Traits } from "./wire";

export interface PanelState {
  connection: Connection<Traits>;
  traits: { readonly [K in keyof Traits]: ReadonlySignal<Traits[K]> };
  host: Host | undefined;
  /** Random, so that two views of one model can be told apart. */
  view: string;
  root: HTMLElement;
  /** How the two pictures are compared, and where the swipe's divider stands (share of the width). */
  mode: Signal<"side" | "swipe">;
  swipe: Signal<number>;
  viewport: Signal<Viewport>;
  /** Where the sparsity handle is while the user holds it: until then the kernel's word counts. */
  held: Signal<number | null>;
  /** A sentence about something that went wrong on the page. */
  pageError: Signal<string>;
  /** What is said to those who listen instead of looking. */
  announcement: Signal<string>;
  id(name: string): string;
  send(message: PageMessage, buffers?: ArrayBufferView[]): void;
}

export function createState(
  connection: Connection<Traits>,
  host: Host | undefined,
  root: HTMLElement,
): PanelState {
  const view = `sw-${Math.random().toString(36).slice(2, 10)}`;
  return {
    connection,
    traits: connection.traits,
    host,
    view,
    root,
    mode: signal<"side" | "swipe">("side"),
    swipe: signal(0.5),
    viewport: signal(whole),
    held: signal<number | null>(null),
    pageError: signal(""),
    announcement: signal(""),
    id: (name) => `${view}-${name}`,
    send: (message, buffers) => connection.send(message, buffers),
  };
}

export const PanelContext = createContext<PanelState | null>(null);

export function usePanel(): PanelState {
  const state = useContext(PanelContext);
  if (!state) throw new Error("a component of the panel is used outside of it");
  return state;
}
