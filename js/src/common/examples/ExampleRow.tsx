import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { describeExample, ExampleTile } from "./ExampleTile";
import type { ExampleInfo } from "./wire";

interface Props {
  label: string;
  examples: readonly ExampleInfo[];
  /** Id → what a trace keeps of it; an example that is missing is not known. Undefined: not asked. */
  kept?: ReadonlyMap<string, number> | undefined;
  /** The id of the image that is the sample. */
  sample: string;
  busy?: boolean;
  /** Whether the bars of what is kept are those of another trace. */
  stale?: boolean;
  onChoose(example: ExampleInfo): void;
  /** After the last of them, where there are more. */
  children?: ComponentChildren;
}

/** Examples in a row that scrolls: one stop for Tab, arrows move along, Enter or a click makes one the sample. */
export function ExampleRow(props: Props) {
  const { examples, kept, onChoose } = props;
  const row = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const most = Math.max(0, ...examples.map(({ value }) => value));
  const place = (id: string | null) => examples.findIndex((example) => example.id === id);
  const stop = Math.max(0, place(focused) >= 0 ? place(focused) : place(props.sample));

  const move = (event: KeyboardEvent, from: number) => {
    const steps: Record<string, number> = {
      ArrowRight: from + 1,
      ArrowLeft: from - 1,
      Home: 0,
      End: examples.length - 1,
    };
    const to = steps[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const tile = row.current?.querySelectorAll<HTMLElement>(".sw-example")[to];
    if (!tile) return;
    setFocused(examples[to]?.id ?? null);
    tile.focus();
  };

  return (
    <div
      ref={row}
      role="group"
      aria-label={props.label}
      class="sw-examples"
      aria-busy={props.busy ?? false}
      data-stale={props.stale ?? false}
    >
      {examples.map((example, index) => {
        const held = kept && (kept.get(example.id) ?? null);
        const said = describeExample(example, held);
        return (
          <button
            type="button"
            key={example.id}
            class="sw-tile sw-example"
            aria-pressed={example.id === props.sample}
            aria-label={said}
            title={said}
            tabIndex={index === stop ? 0 : -1}
            onFocus={() => setFocused(example.id)}
            onClick={() => onChoose(example)}
            onKeyDown={(event) => move(event, index)}
          >
            <ExampleTile example={example} most={most} kept={held} />
          </button>
        );
      })}
      {props.children}
    </div>
  );
}
