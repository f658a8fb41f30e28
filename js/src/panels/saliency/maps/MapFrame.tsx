import { batch } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { type SaliencyState, type Spot, useSaliency } from "../state";

interface Props {
  label: string;
  /** Nothing is drawn on it yet. */
  blank?: boolean;
  /** What is said of a pixel that the keys lead to. */
  say(spot: Spot): string;
  children: ComponentChildren;
}

function clear(panel: SaliencyState) {
  batch(() => {
    panel.spot.value = null;
    panel.pinned.value = false;
  });
}

/** Where the keys lead from a pixel; null where the key is none of the crosshair's. */
export function stepSpot(from: Spot, key: string, far: boolean, height: number, width: number): Spot | null {
  const [down, across] = far ? [Math.ceil(height / 10), Math.ceil(width / 10)] : [1, 1];
  const moves: Record<string, [number, number]> = {
    ArrowLeft: [0, -across],
    ArrowRight: [0, across],
    ArrowUp: [-down, 0],
    ArrowDown: [down, 0],
  };
  const move = moves[key];
  if (!move) return null;
  return {
    row: Math.min(height - 1, Math.max(0, from.row + move[0])),
    column: Math.min(width - 1, Math.max(0, from.column + move[1])),
  };
}

/** The crosshair: one pixel, the same in all maps. */
function Crosshair({ height, width }: { height: number; width: number }) {
  const panel = useSaliency();
  const spot = panel.spot.value;
  if (!spot) return null;
  const x = ((spot.column + 0.5) / width) * 100;
  const y = ((spot.row + 0.5) / height) * 100;
  return (
    <span class="sw-crosshair" data-pinned={panel.pinned.value} aria-hidden="true">
      <span class="sw-hair-x" style={{ left: `${x}%` }} />
      <span class="sw-hair-y" style={{ top: `${y}%` }} />
      <span
        class="sw-hair-pixel"
        style={{
          left: `${x}%`,
          top: `${y}%`,
          width: `max(9px, ${100 / width}%)`,
          height: `max(9px, ${100 / height}%)`,
        }}
      />
    </span>
  );
}

/** The frame of an image of the sample: the mask's outline and the crosshair over it, moved by pointer and keys. */
export function MapFrame({ label, blank, say, children }: Props) {
  const panel = useSaliency();
  const [height, width] = panel.traits.app.value.input;
  const outline = panel.look.value.outline && !blank ? panel.outline.value : "";

  const spotAt = (event: PointerEvent | MouseEvent): Spot => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const at = (share: number, size: number) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    return {
      row: at((event.clientY - box.top) / (box.height || 1), height),
      column: at((event.clientX - box.left) / (box.width || 1), width),
    };
  };
  const follow = (event: PointerEvent) => {
    if (panel.pinned.peek()) return;
    const [now, next] = [panel.spot.peek(), spotAt(event)];
    if (now?.row !== next.row || now.column !== next.column) panel.spot.value = next;
  };

  return (
    <div
      class="sw-map"
      role="group"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: its crosshair moves by keys
      tabIndex={0}
      aria-label={`${label}: arrows move the crosshair, Enter pins it, Escape takes it away`}
      style={{ aspectRatio: `${width} / ${height}` }}
      onPointerMove={follow}
      onPointerLeave={() => {
        if (!panel.pinned.peek()) panel.spot.value = null;
      }}
      onClick={(event) => {
        const [now, next] = [panel.spot.peek(), spotAt(event)];
        const again = panel.pinned.peek() && now?.row === next.row && now.column === next.column;
        batch(() => {
          panel.spot.value = next;
          panel.pinned.value = !again;
        });
      }}
      onKeyDown={(event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const from = panel.spot.peek();
        if (event.key === "Escape" && from) clear(panel);
        else if (event.key === "Enter" && from) panel.pinned.value = !panel.pinned.peek();
        else {
          const middle = { row: height >> 1, column: width >> 1 };
          const to = stepSpot(from ?? middle, event.key, event.shiftKey, height, width);
          if (!to) return;
          const spot = from ? to : middle;
          batch(() => {
            panel.spot.value = spot;
            panel.pinned.value = true;
          });
          panel.announcement.value = `row ${spot.row}, column ${spot.column}: ${say(spot)}`;
        }
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      {children}
      {outline !== "" && (
        <svg
          class="sw-outline"
          viewBox={`0 0 ${width} ${height}`}
          preserveAspectRatio="none"
          aria-hidden="true"
        >
          <path d={outline} />
          <path d={outline} />
        </svg>
      )}
      <Crosshair height={height} width={width} />
    </div>
  );
}
