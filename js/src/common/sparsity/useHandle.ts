import { useEffect, useRef } from "preact/hooks";
import type { PanelState } from "../state";

const SETTLE_MS = 400;

export interface Handle {
  /** Where the handle is drawn: the hand's word while it is held, the kernel's else. */
  value: number;
  drag(value: number): void;
  release(): void;
  put(value: number): void;
}

/**
 * The sparsity as the front end owns it: while the handle is held, and a moment after, what the kernel echoes does not
 * move it; it is sent at most every 40 ms and finally on release.
 */
export function useHandle(panel: PanelState): Handle {
  const { held, connection } = panel;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const settle = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      held.value = null;
    }, SETTLE_MS);
  };
  return {
    value: held.value ?? panel.traits.sparsity.value,
    drag(value) {
      clearTimeout(timer.current);
      held.value = value;
      connection.setSoon("sparsity", value);
    },
    release() {
      if (held.peek() === null) return;
      connection.set("sparsity", held.peek() as number);
      settle();
    },
    put(value) {
      held.value = value;
      connection.setSoon("sparsity", value);
      settle();
    },
  };
}
