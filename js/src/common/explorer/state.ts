// What a view of the Explorer, or of a lesson, knows beyond what every panel's does.

import { type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { type Viewport, whole } from "../../lib/viewport";
import { remembered } from "../memory";
import type { PanelState } from "../state";
import type { ExplorerMessage, Traits } from "./wire";

export interface ExplorerState extends PanelState<Traits, ExplorerMessage> {
  /** How the two pictures are compared, and where the swipe's divider stands (share of the width). */
  mode: Signal<"side" | "swipe">;
  swipe: Signal<number>;
  viewport: Signal<Viewport>;
}

export function explorerState(base: PanelState<Traits, ExplorerMessage>): ExplorerState {
  return {
    ...base,
    mode: remembered<"side" | "swipe">(base.memory, "mode", "side"),
    swipe: signal(0.5),
    viewport: signal(whole),
  };
}

export const ExplorerContext = createContext<ExplorerState | null>(null);

export function useExplorer(): ExplorerState {
  const state = useContext(ExplorerContext);
  if (!state) throw new Error("a component of the Explorer is used outside of it");
  return state;
}
