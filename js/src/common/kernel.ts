// Whether the kernel is there: what the page's house knows of it, as far as it lets a widget see.
//
// A comm says that its kernel was restarted, and nothing of one that was shut down, changed for another or deleted by a
// culler. Asking the kernel itself would tell a busy one from a dead one only by its silence, and keep it from being
// culled at all. But in Jupyter's pages the widget manager has the kernel's connection, and the notebook's session, which
// the page asks its server for every ten seconds; here it is asked sooner. Other houses (marimo) have neither: their
// panels go by the comm alone.

import { type ReadonlySignal, signal } from "@preact/signals";

/** `"lost"`: the page has no connection to the kernel's server, and tries to get it back. */
export type KernelState = "there" | "lost" | "gone";

interface KernelConnection {
  readonly isDisposed?: boolean;
  readonly status?: string;
  readonly connectionStatus?: string;
}

interface Running {
  refreshRunning?(): Promise<void>;
}

/** What we use of a widget manager, where there is one. */
interface Manager {
  readonly kernel?: KernelConnection | null;
  readonly context?: { readonly sessionContext?: { readonly sessionManager?: Running } };
}

export interface KernelWatch {
  readonly state: ReadonlySignal<KernelState>;
  /** The model has a kernel again: whichever the house has now. */
  renew(): void;
  end(): void;
}

const LOOK_MS = 1000;
const ASK_MS = 4000;
/** A connection that breaks for less is not worth a word. */
const LOST_MS = 5000;

/** When each house was asked: it has many panels. */
const asked = new WeakMap<Manager, number>();

function ask(manager: Manager): void {
  const now = Date.now();
  if (document.visibilityState !== "visible" || now - (asked.get(manager) ?? 0) < ASK_MS) return;
  asked.set(manager, now);
  // It fails where the server is out of reach: that is seen from the connection.
  manager.context?.sessionContext?.sessionManager?.refreshRunning?.().catch(() => {});
}

/** Follows the kernel that a model's house has now. */
export function watchKernel(manager: Manager | undefined): KernelWatch {
  const state = signal<KernelState>("there");
  let kernel = manager?.kernel;
  let cutOff: number | undefined;

  const look = () => {
    kernel ??= manager?.kernel;
    if (!kernel) return;
    if (kernel.isDisposed || kernel.status === "dead" || manager?.kernel !== kernel) {
      state.value = "gone";
      return;
    }
    if ((kernel.connectionStatus ?? "connected") === "connected") {
      cutOff = undefined;
      state.value = "there";
      if (manager) ask(manager);
      return;
    }
    cutOff ??= Date.now();
    if (Date.now() - cutOff >= LOST_MS) state.value = "lost";
  };
  const timer = manager && setInterval(look, LOOK_MS);

  return {
    state,
    renew() {
      if (manager?.kernel) kernel = manager.kernel;
      cutOff = undefined;
      state.value = "there";
    },
    end: () => clearInterval(timer),
  };
}
