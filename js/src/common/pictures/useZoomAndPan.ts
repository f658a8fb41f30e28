import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { pan, whole, zoom } from "../../lib/viewport";
import type { ExplorerState } from "../explorer/state";

const KEY_STEP = 0.15;

/** Zoom and pan of one frame, for both pictures: wheel, double click, drag, pinch, keys. */
export function useZoomAndPan(panel: ExplorerState, frame: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const { viewport } = panel;
    const off = new AbortController();
    const { signal } = off;
    const pointers = new Map<number, { x: number; y: number }>();

    const share = (clientX: number, clientY: number): [number, number] => {
      const box = element.getBoundingClientRect();
      return [(clientX - box.left) / (box.width || 1), (clientY - box.top) / (box.height || 1)];
    };
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
    };

    const onWheel = (event: WheelEvent) => {
      // The wheel scrolls the notebook past the panel; it zooms where the user has turned to the picture.
      const meant =
        event.ctrlKey || event.metaKey || element.matches(":focus-within") || viewport.peek().scale > 1;
      if (!meant || event.deltaY === 0) return;
      const factor = Math.exp(-Math.sign(event.deltaY) * Math.min(0.4, Math.abs(event.deltaY) * 0.004));
      const next = zoom(viewport.peek(), factor, ...share(event.clientX, event.clientY));
      if (next.scale === viewport.peek().scale && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      viewport.value = next;
    };

    const onDoubleClick = (event: MouseEvent) => {
      event.preventDefault();
      const at = share(event.clientX, event.clientY);
      viewport.value = viewport.peek().scale > 1 ? whole : zoom(viewport.peek(), 3, ...at);
    };

    const onDown = (event: PointerEvent) => {
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (viewport.peek().scale > 1) element.setPointerCapture(event.pointerId);
    };
    const onMove = (event: PointerEvent) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const gap = spread();
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (pointers.size === 2 && gap > 0) {
        viewport.value = zoom(viewport.peek(), spread() / gap, ...share(event.clientX, event.clientY));
      } else if (viewport.peek().scale > 1) {
        const box = element.getBoundingClientRect();
        viewport.value = pan(
          viewport.peek(),
          (event.clientX - before.x) / (box.width || 1),
          (event.clientY - before.y) / (box.height || 1),
        );
      }
    };
    const onUp = (event: PointerEvent) => {
      pointers.delete(event.pointerId);
    };

    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const view = viewport.peek();
      const moves: Record<string, [number, number]> = {
        ArrowLeft: [KEY_STEP, 0],
        ArrowRight: [-KEY_STEP, 0],
        ArrowUp: [0, KEY_STEP],
        ArrowDown: [0, -KEY_STEP],
      };
      const move = moves[event.key];
      if (event.key === "+" || event.key === "=") viewport.value = zoom(view, 1.5);
      else if (event.key === "-") viewport.value = zoom(view, 1 / 1.5);
      else if (event.key === "0") viewport.value = whole;
      else if (move && view.scale > 1) viewport.value = pan(view, ...move);
      else return;
      event.preventDefault();
    };

    // Not Preact's: a wheel listener must say that it may prevent the scrolling.
    element.addEventListener("wheel", onWheel, { signal, passive: false });
    element.addEventListener("dblclick", onDoubleClick, { signal });
    element.addEventListener("pointerdown", onDown, { signal });
    element.addEventListener("pointermove", onMove, { signal });
    element.addEventListener("pointerup", onUp, { signal });
    element.addEventListener("pointercancel", onUp, { signal });
    element.addEventListener("pointerleave", onUp, { signal });
    element.addEventListener("keydown", onKey, { signal });
    return () => off.abort();
  }, [panel, frame]);
}
