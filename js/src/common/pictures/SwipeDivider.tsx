import type { RefObject } from "preact";
import { useExplorer } from "../explorer/state";

/** The line between the two pictures: left of it dense, right of it the trace. By pointer and by arrow keys. */
export function SwipeDivider({ stage }: { stage: RefObject<HTMLElement | null> }) {
  const panel = useExplorer();
  const place = panel.swipe.value;
  const put = (share: number) => {
    panel.swipe.value = Math.min(1, Math.max(0, share));
  };
  const follow = (event: PointerEvent) => {
    const frame = stage.current?.querySelector(".sw-frame")?.getBoundingClientRect();
    if (frame && frame.width > 0) put((event.clientX - frame.left) / frame.width);
  };
  return (
    <div class="sw-divider-track">
      <div
        class="sw-divider"
        role="slider"
        tabIndex={0}
        aria-label="Swipe: where dense ends and the trace begins"
        aria-orientation="horizontal"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(place * 100)}
        aria-valuetext={`${Math.round(place * 100)} % dense`}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          follow(event);
        }}
        onPointerMove={(event) => {
          if (event.currentTarget.hasPointerCapture(event.pointerId)) follow(event);
        }}
        onKeyDown={(event) => {
          const steps: Record<string, number> = {
            ArrowLeft: place - 0.02,
            ArrowDown: place - 0.02,
            ArrowRight: place + 0.02,
            ArrowUp: place + 0.02,
            PageDown: place - 0.1,
            PageUp: place + 0.1,
            Home: 0,
            End: 1,
          };
          const to = steps[event.key];
          if (to === undefined) return;
          event.preventDefault();
          put(to);
        }}
      />
    </div>
  );
}
