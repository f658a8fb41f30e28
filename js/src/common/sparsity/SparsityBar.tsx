import { useRef, useState } from "preact/hooks";
import { percent } from "../../lib/format";
import {
  MAX_SPARSITY,
  nearestStop,
  parseSparsity,
  snapPlace,
  spacedStops,
  stepKey,
  stepStops,
  toPlace,
  toSparsity,
} from "../../lib/scale";
import { usePanel } from "../state";
import { KeepPrediction } from "./KeepPrediction";
import { useHandle } from "./useHandle";

const marks = [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99];
const label = (sparsity: number) => percent(sparsity).replace(/\.0$/, "");

interface Props {
  /** The only sparsities that there are, ascending, where no kernel can make others. */
  stops?: readonly number[];
  /** Whether a trace that keeps the prediction can be asked for instead. */
  keep?: boolean;
}

/** The one number of the panel, large, to be dragged, stepped or typed. */
export function SparsityBar({ stops, keep = true }: Props) {
  const panel = usePanel();
  const handle = useHandle(panel);
  const track = useRef<HTMLDivElement>(null);
  const dragging = useRef(false);
  const [draft, setDraft] = useState<string | null>(null);
  const [message, setMessage] = useState("");
  const solved = panel.traits.solved.value;
  const place = toPlace(handle.value);
  const text = percent(handle.value);

  const follow = (event: PointerEvent) => {
    const box = track.current?.getBoundingClientRect();
    if (!box || box.width === 0) return;
    const to = (event.clientX - box.left) / box.width;
    handle.drag(stops ? nearestStop(toSparsity(to), stops) : snapPlace(to, solved, 5 / box.width));
  };
  const enter = () => {
    if (draft === null) return;
    const value = parseSparsity(draft);
    setDraft(null);
    if (value === null) {
      setMessage(`“${draft}” is no sparsity: give percents from 0 to ${MAX_SPARSITY * 100}.`);
      return;
    }
    const put = stops ? nearestStop(value, stops) : value;
    setMessage(
      put === value ? "" : `${percent(value)} % is not in this lesson: ${percent(put)} % is the nearest.`,
    );
    handle.put(put);
    handle.release();
  };

  return (
    <div class="sw-sparsity">
      <label class="sw-label" for={panel.id("sparsity")}>
        Sparsity
      </label>
      <span class="sw-big">
        <input
          id={panel.id("sparsity")}
          type="text"
          inputMode="decimal"
          autocomplete="off"
          aria-invalid={message !== ""}
          aria-describedby={panel.id("sparsity-message")}
          title="Type a sparsity; Enter sets it"
          value={draft ?? text}
          onFocus={(event) => event.currentTarget.select()}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") enter();
            if (event.key === "Escape") setDraft(null);
          }}
          onBlur={enter}
        />
        <span aria-hidden="true">%</span>
      </span>
      <div
        class="sw-slider"
        role="slider"
        tabIndex={0}
        aria-label="Sparsity"
        aria-valuemin={stops?.[0] ?? 0}
        aria-valuemax={stops?.at(-1) ?? MAX_SPARSITY}
        aria-valuenow={handle.value}
        aria-valuetext={`${text} percent of the weights removed`}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          dragging.current = true;
          setMessage("");
          follow(event);
        }}
        onPointerMove={(event) => dragging.current && follow(event)}
        onLostPointerCapture={() => {
          dragging.current = false;
          handle.release();
        }}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          const to = stops ? stepStops(handle.value, event.key, stops) : stepKey(handle.value, event.key);
          if (to === null) return;
          event.preventDefault();
          setMessage("");
          handle.put(to);
        }}
        onKeyUp={handle.release}
        onBlur={handle.release}
      >
        <div class="sw-track" ref={track}>
          <span class="sw-fill" style={{ width: `${place * 100}%` }} />
          {solved.map((value) => (
            <span
              key={value}
              class="sw-tick"
              title={`${percent(value)} % is computed`}
              style={{ left: `${toPlace(value) * 100}%` }}
            />
          ))}
          {(stops ? spacedStops(stops) : marks).map((value) => (
            <span key={value} class="sw-mark" style={{ left: `${toPlace(value) * 100}%` }}>
              {label(value)}
            </span>
          ))}
          <span class="sw-knob" style={{ left: `${place * 100}%` }} />
        </div>
      </div>
      {!stops && keep && <KeepPrediction />}
      <p id={panel.id("sparsity-message")} class="sw-message" role="alert" hidden={message === ""}>
        {message}
      </p>
    </div>
  );
}
