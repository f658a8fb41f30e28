import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Host } from "../model";

export type ChildState = "waiting" | "shown" | "failed";

interface Options {
  /**
   * Whether the child's view is ended with ours. Plotly's figure empties its element when its view ends, but goes on
   * listening to the model: every later change would fail there, and be lost to the figure's other views. So its view
   * is never ended, only taken off the page.
   */
  ends: boolean;
}

/** Renders another widget into `place`, as soon as there is a reference to it. */
export function useChildWidget(
  host: Host | undefined,
  reference: string | null,
  place: RefObject<HTMLElement | null>,
  { ends }: Options,
): ChildState {
  const [state, setState] = useState<ChildState>("waiting");
  useEffect(() => {
    if (!reference || !place.current) return;
    if (!host) {
      setState("failed");
      return;
    }
    let gone = false;
    const el = document.createElement("div");
    place.current.replaceChildren(el);
    const ending = new AbortController();
    host
      .getWidget(reference)
      .then((widget) => (gone ? undefined : widget.render({ el, signal: ending.signal })))
      .then(() => !gone && setState("shown"))
      .catch((reason: unknown) => {
        if (gone) return;
        console.warn("a part of the panel could not be shown", reason);
        setState("failed");
      });
    return () => {
      gone = true;
      if (ends) ending.abort();
      el.remove();
    };
  }, [host, reference, place, ends]);
  return state;
}
