import { useMemo } from "preact/hooks";
import { ExampleRow } from "../../common/examples/ExampleRow";
import type { ExampleInfo } from "../../common/examples/wire";
import { useExplorer } from "../../common/explorer/state";
import type { PhotoIndex, StripOrder } from "../../common/explorer/wire";
import { Controls } from "../../common/frame/Controls";
import { PlusIcon } from "../../common/parts/icons";
import { Popover } from "../../common/parts/Popover";
import { Segments } from "../../common/parts/Segments";
import { FileButton } from "../../common/samples/FileButton";
import { currentTrace, isStale } from "../../common/sparsity/trace";
import { count, roughly } from "../../lib/format";
import { addPhotos } from "./addPhotos";

const orders: [StripOrder, string, string][] = [
  ["activation", "activation", "The most exciting for the dense network first"],
  ["kept", "kept", "Those first of whose activation the trace keeps most"],
];
/** How many more are shown at a time. */
const MORE = 9;

/** What the photographs are, and how far they have been looked at. */
export function describeIndex({ state, own, total, done, left }: PhotoIndex, seen: number): string {
  const what = own ? "of the panel's samples" : "photographs";
  if (state === "working" || state === "stopped" || (state === "waiting" && done < total)) {
    const time = state === "working" && left !== null ? `, ${roughly(left)} left` : "";
    const doing = { working: "looking at", stopped: "stopped at", waiting: "waiting at" }[state];
    return `${doing} ${count(done)} of ${count(total)}${own ? " samples" : ""}${time}`;
  }
  if (seen === 0) return "";
  return own ? `the best of the panel's ${count(seen)} samples` : `the best of ${count(seen)} ${what}`;
}

/** The examples in the order that is asked for; those of which it is not known what is kept come last. */
export function inOrder(
  rows: readonly ExampleInfo[],
  order: StripOrder,
  kept: ReadonlyMap<string, number> | undefined,
): readonly ExampleInfo[] {
  if (order !== "kept" || !kept) return rows;
  const held = ({ id }: ExampleInfo) => kept.get(id) ?? Number.NEGATIVE_INFINITY;
  return [...rows].sort((a, b) => held(b) - held(a) || b.value - a.value);
}

function AddPhotographs() {
  const panel = useExplorer();
  return (
    <FileButton
      class="sw-icon-button"
      label="Add photographs"
      title="Add photographs to look for examples in; a folder can be dropped here"
      files="Image files to look for examples in"
      onFiles={(files) => void addPhotos(panel, files)}
    >
      <PlusIcon />
    </FileButton>
  );
}

function LeftOut({ sentences }: { sentences: readonly string[] }) {
  if (sentences.length === 0) return null;
  const many = `${count(sentences.length)} left out`;
  return (
    <Popover label={`${many}: which, and why`} class="sw-quiet sw-left-out" button={many}>
      {() => (
        <ul class="sw-left-out-list">
          {sentences.map((sentence, index) => (
            <li key={index}>
              <bdi>{sentence}</bdi>
            </li>
          ))}
        </ul>
      )}
    </Popover>
  );
}

/** The neuron in the user's own photographs: what excites it there, and how much of that the trace keeps. */
export function Strip() {
  const panel = useExplorer();
  const { strip, strip_count, strip_order, strip_examples, strip_kept, photo_index } = panel.traits;
  const { neuron, sample_id, samples, exceptional } = panel.traits;
  const index = photo_index.value;
  const { rows } = strip_examples.value;
  const { seen, examples } = exceptional.value;
  const more = Math.min(MORE, rows.length > 0 ? examples - rows.length : 0);
  const traced = currentTrace(panel) !== null;
  const held = strip_kept.value;
  const kept = useMemo(() => {
    if (held.neuron !== strip_examples.value.neuron) return traced ? new Map<string, number>() : undefined;
    return held.rows.length > 0 ? new Map(held.rows) : traced ? new Map<string, number>() : undefined;
  }, [held, strip_examples.value.neuron, traced]);
  const shown = useMemo(() => inOrder(rows, strip_order.value, kept), [rows, strip_order.value, kept]);
  const open = strip.value;

  const choose = ({ id }: ExampleInfo) => {
    if (samples.value.some((sample) => sample.id === id)) panel.connection.set("sample_id", id);
    else panel.send({ type: "example", id });
  };

  return (
    <section class="sw-strip" data-drop="photos" aria-label="In your photographs">
      <div class="sw-strip-head">
        <Controls>
          <h3>
            <button
              type="button"
              class="sw-fold"
              aria-expanded={open}
              aria-controls={panel.id("strip")}
              onClick={() => panel.connection.set("strip", !open)}
            >
              In your photographs
            </button>
          </h3>
        </Controls>
        <span class="sw-line sw-secondary">
          {open ? describeIndex(index, seen) : "the neuron's examples, and what the trace keeps"}
        </span>
        {open && (
          <Controls>
            <LeftOut sentences={index.left_out} />
            <Segments
              label="Order of the examples"
              choices={orders}
              chosen={strip_order.value}
              onChoose={(order) => panel.connection.set("strip_order", order)}
            />
            <AddPhotographs />
          </Controls>
        )}
      </div>
      <div id={panel.id("strip")} class="sw-strip-body" hidden={!open}>
        <Controls>
          <ExampleRow
            label="Examples"
            examples={shown}
            kept={kept}
            sample={sample_id.value}
            busy={strip_examples.value.neuron !== neuron.value}
            stale={held.sample_id !== sample_id.value || isStale(panel)}
            onChoose={choose}
          >
            {more > 0 && (
              <button
                type="button"
                class="sw-button sw-more-examples"
                title={`Show ${more} more`}
                onClick={() => panel.connection.set("strip_count", strip_count.value + more)}
              >
                <PlusIcon />
                {more} more
              </button>
            )}
          </ExampleRow>
        </Controls>
      </div>
    </section>
  );
}
