import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Host } from "../model";

export type ChildState = "waiting" | "shown" | "failed";

interface Options {
  /**
   * Whether the child is a Plotly figure, which has two manners of its own. It empties its element when its view ends,
   * but goes on listening to the model: every later change would fail there, and be lost to the figure's other views.
   * So its view is never ended, only taken off the page. And it fits itself to its place only when the window does.
   */
  plotly: boolean;
}

/** Says that the window has a new size whenever the place has a new width. Returns what ends it. */
function fitToPlace(place: HTMLElement): () => void {
  let width = place.clientWidth;
  const observer = new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    if (width > 0) window.dispatchEvent(new Event("resize"));
  });
  observer.observe(place);
  return () => observer.disconnect();
}

/** Renders another widget into `place`, as soon as there is a reference to it. */
export function useChildWidget(
  host: Host | undefined,
  reference: string | null,
  place: RefObject<HTMLElement | null>,
  { plotly }: Options,
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
    const unfit = plotly ? fitToPlace(place.current) : undefined;
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
      unfit?.();
      if (!plotly) ending.abort();
      el.remove();
    };
  }, [host, reference, place, plotly]);
  return state;
}
