import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Controls } from "../../../common/frame/Controls";
import { useImageUrl } from "../../../common/hooks/useImageUrl";
import { decimal } from "../../../lib/format";
import { Mark, shapeName } from "../marks";
import { type FacetState, useFacets } from "../state";
import { AUTO, MOST, type Point } from "../wire";
import { apart, fitted, inside, nextPoint, type Place } from "./lasso";

/** The plot's own units; and where in it points lie. */
const SIDE = 300;
const MARGIN = 18;
/** Between two points at least. */
const LEAST = 13;
/** Pixels that a hand may tremble in a click. */
const TREMBLE = 4;

const NONE = new ArrayBuffer(0);

/** The example that is looked at: its crop, beside its point. */
function Look({ point, at }: { point: Point; at: Place }) {
  const url = useImageUrl(point.crop ?? NONE);
  const [right, low] = [at.x > SIDE / 2, at.y > SIDE / 2];
  const share = (value: number) => `${(100 * value) / SIDE}%`;
  return (
    <div
      class="sw-look"
      aria-hidden="true"
      style={{
        [right ? "right" : "left"]: `calc(${share(right ? SIDE - at.x : at.x)} + 14px)`,
        [low ? "bottom" : "top"]: `calc(${share(low ? SIDE - at.y : at.y)} + 6px)`,
      }}
    >
      {url && <img src={url} alt="" draggable={false} />}
      <span class="sw-line">
        <bdi>{point.title}</bdi>
      </span>
      <span class="sw-secondary">activation {decimal(point.value)}</span>
    </div>
  );
}

/** Makes what is selected a facet; what was in groups of one's own before and is not selected stays there. */
export function grouped(groups: readonly string[][], selected: ReadonlySet<string>): string[][] {
  const rest = groups
    .map((members) => members.filter((id) => !selected.has(id)))
    .filter((members) => members.length > 0);
  return [...rest, [...selected]];
}

function Selection({ panel }: { panel: FacetState }) {
  const { groups, count } = panel.traits;
  const selected = panel.selected.value;
  const full = grouped(groups.value, selected).length > MOST;
  const changed = groups.value.length > 0 || count.value !== AUTO;
  return (
    <Controls>
      <div class="sw-plot-tools">
        <button
          type="button"
          class="sw-button"
          disabled={selected.size === 0 || full}
          title={
            full
              ? `Up to ${MOST} facets of one's own can be shown`
              : "Those selected become a facet; the others are one more"
          }
          onClick={() => {
            panel.connection.set("groups", grouped(groups.value, selected));
            panel.selected.value = new Set();
            panel.announcement.value = `A facet of ${selected.size} examples is made.`;
          }}
        >
          Make a facet{selected.size > 0 ? ` of ${selected.size}` : ""}
        </button>
        <button
          type="button"
          class="sw-button"
          disabled={selected.size === 0}
          onClick={() => {
            panel.selected.value = new Set();
          }}
        >
          Clear
        </button>
        <button
          type="button"
          class="sw-button"
          disabled={!changed}
          title="The facets that there are, again"
          onClick={() => panel.send({ type: "reset" })}
        >
          Reset
        </button>
      </div>
    </Controls>
  );
}

/** All examples, by what reached the neuron. A click makes one the sample; a lasso, or Space on each, selects several. */
export function Plot() {
  const panel = useFacets();
  const { examples, sample_id, neuron } = panel.traits;
  const points = examples.value;
  const places = useMemo(() => apart(fitted(points, SIDE, MARGIN), SIDE, LEAST, MARGIN / 2), [points]);
  const area = useRef<HTMLDivElement>(null);
  const [stop, setStop] = useState(0);
  const [line, setLine] = useState<Place[]>([]);
  const drawing = useRef<{ from: Place; line: Place[]; on: boolean } | null>(null);
  const drawn = useRef(false);
  const selected = panel.selected.value;
  const looked = points.findIndex(({ id }) => id === panel.looked.value);

  useEffect(() => {
    setStop(0);
  }, [neuron.value]);

  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    panel.selected.value = next;
  };
  const choose = (id: string) => {
    if (panel.connection.live.value) panel.send({ type: "example", id });
  };
  const at = (event: PointerEvent): Place => {
    const box = (area.current as HTMLElement).getBoundingClientRect();
    const scale = SIDE / (box.width || SIDE);
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  };
  const follow = (event: PointerEvent) => {
    const hand = drawing.current;
    if (!hand) return;
    const place = at(event);
    if (!hand.on && Math.hypot(place.x - hand.from.x, place.y - hand.from.y) > TREMBLE) {
      hand.on = true;
      area.current?.setPointerCapture(event.pointerId);
    }
    if (!hand.on) return;
    hand.line = [...hand.line, place];
    setLine(hand.line);
  };
  const finish = (event: PointerEvent) => {
    const hand = drawing.current;
    drawing.current = null;
    setLine([]);
    drawn.current = hand?.on ?? false;
    if (!hand?.on) return;
    const held = points.filter((_, index) => inside(hand.line, places[index] as Place)).map(({ id }) => id);
    panel.selected.value = new Set([...(event.shiftKey ? selected : []), ...held]);
    panel.announcement.value = `${panel.selected.value.size} examples are selected.`;
  };
  const onKeyDown = (event: KeyboardEvent, index: number, id: string) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      event.preventDefault();
      toggle(id);
      return;
    }
    if (event.key === "Escape" && selected.size > 0) {
      event.stopPropagation();
      panel.selected.value = new Set();
      return;
    }
    // By place with the arrows; by strength, which reaches all, with these.
    const last = points.length - 1;
    const steps: Record<string, number> = {
      Home: 0,
      End: last,
      PageDown: Math.min(last, index + 1),
      PageUp: Math.max(0, index - 1),
    };
    const to = steps[event.key] ?? nextPoint(places, index, event.key);
    if (to === null || to === undefined) {
      if (event.key.startsWith("Arrow")) event.preventDefault();
      return;
    }
    event.preventDefault();
    setStop(to);
    area.current?.querySelectorAll<HTMLElement>(".sw-point")[to]?.focus();
  };

  return (
    <section class="sw-plot-part" aria-labelledby={panel.id("plot")}>
      <div class="sw-heading">
        <h3 id={panel.id("plot")}>All {points.length > 0 ? points.length : ""} examples</h3>
      </div>
      {points.length === 0 ? (
        <div class="sw-plot">
          <span class="sw-placeholder">no examples yet</span>
        </div>
      ) : (
        <div
          ref={area}
          class="sw-plot"
          role="listbox"
          aria-multiselectable="true"
          aria-label="Examples by what reached the neuron: arrows move, Space selects, Enter makes one the sample"
          aria-busy={panel.stale.value}
          onPointerDown={(event) => {
            if (event.button !== 0) return;
            drawn.current = false;
            drawing.current = { from: at(event), line: [at(event)], on: false };
          }}
          onPointerMove={follow}
          onPointerUp={finish}
          onPointerCancel={() => {
            drawing.current = null;
            setLine([]);
          }}
        >
          {points.map((point, index) => {
            const place = places[index] as Place;
            const chosen = selected.has(point.id);
            return (
              <button
                type="button"
                key={point.id}
                class="sw-point"
                role="option"
                aria-selected={chosen}
                aria-current={point.id === sample_id.value ? "true" : undefined}
                aria-label={`${point.title}, facet ${point.facet + 1} (${shapeName(point.facet)}), activation ${decimal(point.value)}${point.id === sample_id.value ? ", the sample" : ""}`}
                data-facet={point.facet}
                tabIndex={index === Math.min(stop, points.length - 1) ? 0 : -1}
                style={{ left: `${(100 * place.x) / SIDE}%`, top: `${(100 * place.y) / SIDE}%` }}
                onPointerEnter={() => {
                  if (!drawing.current?.on) panel.looked.value = point.id;
                }}
                onPointerLeave={() => {
                  panel.looked.value = null;
                }}
                onFocus={() => {
                  setStop(index);
                  panel.looked.value = point.id;
                }}
                onBlur={() => {
                  panel.looked.value = null;
                }}
                onClick={(event) => {
                  if (drawn.current) return; // the end of a lasso
                  if (event.ctrlKey || event.metaKey || event.shiftKey) toggle(point.id);
                  else choose(point.id);
                }}
                onKeyDown={(event) => onKeyDown(event, index, point.id)}
              >
                <Mark facet={point.facet} />
              </button>
            );
          })}
          {line.length > 1 && (
            <svg class="sw-lasso" viewBox={`0 0 ${SIDE} ${SIDE}`} aria-hidden="true" focusable="false">
              <polygon points={line.map(({ x, y }) => `${x},${y}`).join(" ")} />
            </svg>
          )}
          {looked >= 0 && <Look point={points[looked] as Point} at={places[looked] as Place} />}
        </div>
      )}
      <Selection panel={panel} />
      <p class="sw-secondary">
        Along the two principal directions of what reached the neuron; those at one place lie side by side.
        Draw around some, or press Space on each, to make a facet of your own.
      </p>
    </section>
  );
}
