import { useExplorer } from "../../common/explorer/state";
import { useImageUrl } from "../../common/hooks/useImageUrl";
import { TileGrid } from "../../common/parts/TileGrid";
import type { Bytes } from "../../lib/bytes";
import { decimal } from "../../lib/format";
import { describeNeuron, parseNeuron } from "../../lib/neuron";
import type { Images, Recording } from "./recording";

interface Entry {
  neuron: string;
  name: string;
  /** A channel's activation map over the sample, and how strong it is there. */
  map: Bytes | null;
  activation: number | null;
}

function Tile({ entry, text }: { entry: Entry; text: string }) {
  const url = useImageUrl(entry.map ?? new ArrayBuffer(0));
  return (
    <>
      <span class="sw-tile-image">{url && <img src={url} alt="" draggable={false} />}</span>
      <span class="sw-tile-text">{text}</span>
    </>
  );
}

interface Props {
  recording: Recording;
  image: Images;
}

/** The neurons that the lesson has: channels of layers, with where the sample excites them, and classes by name. */
export function Neurons({ recording, image }: Props) {
  const panel = useExplorer();
  const { neuron, sample_id, app } = panel.traits;
  const sample = recording.samples.find((one) => one.id === sample_id.value);
  const entries: Entry[] = recording.neurons.map((written, at) => {
    const excitement = sample?.excitements[at];
    return {
      neuron: written,
      name: describeNeuron(written, app.value.classes),
      map: excitement ? image(excitement.image) : null,
      activation: excitement?.activation ?? null,
    };
  });
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const parsed = parseNeuron(entry.neuron);
    const layer = parsed?.kind === "channel" ? parsed.layer : "";
    groups.set(layer, [...(groups.get(layer) ?? []), entry]);
  }
  const choose = (entry: Entry) => panel.connection.set("neuron", entry.neuron);
  const title = ({ name, activation }: Entry) =>
    activation === null ? name : `${name} · activation ${decimal(activation)} on this sample`;

  return (
    <section class="sw-lesson-neurons" aria-labelledby={panel.id("neuron")}>
      <div class="sw-heading">
        <h3 id={panel.id("neuron")}>Neuron</h3>
      </div>
      {[...groups].map(([layer, members]) => (
        <div key={layer} class="sw-lesson-layer">
          <h4 class="sw-line sw-secondary" title={layer}>
            {layer || "Classes"}
          </h4>
          <TileGrid
            label={layer ? `Channels of ${layer}` : "Classes"}
            class={layer ? "sw-channel-grid" : "sw-lesson-classes"}
            items={members}
            keyOf={(entry) => entry.neuron}
            selected={neuron.value}
            titleOf={title}
            onSelect={choose}
          >
            {(entry) =>
              layer ? (
                <Tile entry={entry} text={entry.neuron.slice(layer.length + 1)} />
              ) : (
                <span class="sw-line">{entry.name.replace(/^class /, "")}</span>
              )
            }
          </TileGrid>
        </div>
      ))}
    </section>
  );
}
