import { useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { useExplorer } from "../../common/explorer/state";
import type { ChannelOrder, ChannelRow } from "../../common/explorer/wire";
import { useImageUrl } from "../../common/hooks/useImageUrl";
import { useWholeRows } from "../../common/hooks/useWholeRows";
import { NeuronFields } from "../../common/neuron/NeuronFields";
import { TileGrid } from "../../common/parts/TileGrid";
import { decimal } from "../../lib/format";
import { parseNeuron } from "../../lib/neuron";
import { HowExceptional, share } from "./HowExceptional";

function ChannelTile({ row }: { row: ChannelRow }) {
  const url = useImageUrl(row.map);
  return (
    <>
      <span class="sw-tile-image">{url && <img src={url} alt="" draggable={false} />}</span>
      <span class="sw-tile-text">{row.channel}</span>
    </>
  );
}

const orders: [ChannelOrder, string][] = [
  ["activation", "most excited first"],
  ["percentile", "exceptional first"],
];

function titleOf({ channel, activation }: ChannelRow, percentile: number | undefined, own: boolean): string {
  const more = percentile === undefined ? "" : ` · ${share(percentile, own)}`;
  return `Channel ${channel} · activation ${decimal(activation)}${more}`;
}

/** Which neuron: a layer's channels, the most excited first, a channel by number, or a class. */
export function NeuronBrowser() {
  const panel = useExplorer();
  const { channels, channel_shares, neuron, layer, sample_id, channel_order, photo_index } = panel.traits;
  const { rows, total, order } = channels.value;
  const scroller = useRef<HTMLDivElement>(null);
  useWholeRows(scroller, rows);
  const told = channel_shares.value;
  const alike = told.sample_id === channels.value.sample_id && told.layer === channels.value.layer;
  const shares = new Map(alike ? told.rows : []);
  const wanted = channel_order.value;
  const stale =
    channels.value.layer !== layer.value ||
    channels.value.sample_id !== sample_id.value ||
    (order ?? "activation") !== wanted;
  const selected = useComputed(() => {
    const parsed = parseNeuron(neuron.value);
    return parsed?.kind === "channel" && parsed.layer === channels.value.layer
      ? String(parsed.channel)
      : null;
  });

  return (
    <section class="sw-neuron" aria-labelledby={panel.id("neuron")}>
      <NeuronFields />
      <HowExceptional />
      <div class="sw-channels">
        <div class="sw-scroll sw-channel-scroll" ref={scroller}>
          <TileGrid
            label="Channel"
            class="sw-channel-grid"
            items={rows}
            keyOf={(row) => String(row.channel)}
            selected={selected.value}
            busy={stale}
            titleOf={(row) => titleOf(row, shares.get(row.channel), photo_index.value.own)}
            onSelect={(row) => panel.connection.setSoon("neuron", `${channels.value.layer}:${row.channel}`)}
          >
            {(row) => <ChannelTile row={row} />}
          </TileGrid>
        </div>
      </div>
      <div class="sw-channel-order sw-secondary">
        <span>{rows.length > 0 ? `${rows.length} of ${total},` : "\u00a0"}</span>
        <select
          class="sw-input"
          aria-label="Order of the channels"
          title="By how strongly the sample excites them, or by how few of the photographs excite them as much"
          value={wanted}
          onChange={(event) =>
            panel.connection.set("channel_order", event.currentTarget.value as ChannelOrder)
          }
        >
          {orders.map(([key, name]) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
        </select>
      </div>
    </section>
  );
}
