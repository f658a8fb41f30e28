import { useEffect, useRef } from "preact/hooks";
import { useSaliency } from "../state";

interface Props {
  name: "opacity" | "clip";
  label: string;
  title: string;
  low: number;
  high: number;
  step: number;
  show(value: number): string;
}

const SETTLE_MS = 400;

/** A number of the maps' look. Dragged, it changes the page alone; the model hears of it when it is let go. */
export function LookSlider({ name, label, title, low, high, step, show }: Props) {
  const panel = useSaliency();
  const value = panel.look.value[name];
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const drag = (next: number) => {
    clearTimeout(timer.current);
    panel.heldLook.value = { ...panel.heldLook.peek(), [name]: next };
  };
  const release = () => {
    const held = panel.heldLook.peek()[name];
    if (held === undefined) return;
    panel.connection.set(name, held);
    // What the kernel echoes a moment later is what was set, or a step of the way there.
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      const { [name]: _, ...rest } = panel.heldLook.peek();
      panel.heldLook.value = rest;
    }, SETTLE_MS);
  };
  return (
    <label class="sw-look" title={title}>
      <span class="sw-label">{label}</span>
      <input
        type="range"
        min={low}
        max={high}
        step={step}
        value={value}
        aria-valuetext={show(value)}
        onInput={(event) => drag(event.currentTarget.valueAsNumber)}
        onChange={release}
      />
      <span class="sw-look-value">{show(value)}</span>
    </label>
  );
}
