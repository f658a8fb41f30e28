import { useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { useExplorer } from "../../common/explorer/state";
import type { ChannelRow } from "../../common/explorer/wire";
import { useImageUrl } from "../../common/hooks/useImageUrl";
import { useWholeRows } from "../../common/hooks/useWholeRows";
import { TileGrid } from "../../common/parts/TileGrid";
import { decimal } from "../../lib/format";
import { parseNeuron } from "../../lib/neuron";
import { ChannelField } from "./ChannelField";
import { ClassPicker } from "./ClassPicker";
import { LayerSelect } from "./LayerSelect";

function ChannelTile({ row }: { row: ChannelRow }) {
  const url = useImageUrl(row.map);
  return (
    <>
      <span class="sw-tile-image">{url && <img src={url} alt="" draggable={false} />}</span>
      <span class="sw-tile-text">{row.channel}</span>
    </>
  );
}

/** Which neuron: a layer's channels, the most excited first, a channel by number, or a class. */
export function NeuronBrowser() {
  const panel = useExplorer();
  const { channels, neuron, layer, sample_id } = panel.traits;
  const { rows, total } = channels.value;
  const scroller = useRef<HTMLDivElement>(null);
  useWholeRows(scroller, rows);
  const stale = channels.value.layer !== layer.value || channels.value.sample_id !== sample_id.value;
  const selected = useComputed(() => {
    const parsed = parseNeuron(neuron.value);
    return parsed?.kind === "channel" && parsed.layer === channels.value.layer
      ? String(parsed.channel)
      : null;
  });

  return (
    <section class="sw-neuron" aria-labelledby={panel.id("neuron")}>
      <div class="sw-heading">
        <h3 id={panel.id("neuron")}>Neuron</h3>
      </div>
      <LayerSelect />
      <ChannelField />
      <ClassPicker />
      <div class="sw-channels">
        <div class="sw-scroll sw-channel-scroll" ref={scroller}>
          <TileGrid
            label="Channel"
            class="sw-channel-grid"
            items={rows}
            keyOf={(row) => String(row.channel)}
            selected={selected.value}
            busy={stale}
            titleOf={(row) => `Channel ${row.channel} · activation ${decimal(row.activation)}`}
            onSelect={(row) => panel.connection.setSoon("neuron", `${channels.value.layer}:${row.channel}`)}
          >
            {(row) => <ChannelTile row={row} />}
          </TileGrid>
        </div>
      </div>
      <p class="sw-line sw-secondary">
        {rows.length > 0 ? `${rows.length} of ${total}, most excited first` : "\u00a0"}
      </p>
    </section>
  );
}
