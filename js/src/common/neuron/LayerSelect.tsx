import type { LayerInfo } from "../explorer/wire";
import { useNeuron } from "./state";

const units: Record<LayerInfo["kind"], string> = { conv: "channels", linear: "outputs", block: "channels" };

/** Runs of layers with the same first word ("layer4.0.conv1" → "layer4"), in forward order. */
export function groupLayers(layers: readonly LayerInfo[]): { title: string; layers: LayerInfo[] }[] {
  const groups: { title: string; layers: LayerInfo[] }[] = [];
  for (const layer of layers) {
    const title = layer.name.split(".")[0] ?? layer.name;
    const last = groups.at(-1);
    if (last?.title === title) last.layers.push(layer);
    else groups.push({ title, layers: [layer] });
  }
  return groups;
}

function Option({ layer }: { layer: LayerInfo }) {
  return (
    <option value={layer.name}>
      {layer.name} · {layer.channels} {units[layer.kind] ?? "channels"}
    </option>
  );
}

export function LayerSelect() {
  const panel = useNeuron();
  const { layers, layer } = panel.traits;
  const known = layers.value.some((one) => one.name === layer.value);
  return (
    <select
      class="sw-input sw-layer-select"
      aria-label="Layer"
      title={layer.value}
      value={layer.value}
      onChange={(event) => panel.connection.set("layer", event.currentTarget.value)}
    >
      {!known && <option value={layer.value}>{layer.value}</option>}
      {groupLayers(layers.value).map((group, index) =>
        group.layers.length === 1 ? (
          group.layers.map((one) => <Option key={one.name} layer={one} />)
        ) : (
          <optgroup key={index} label={group.title}>
            {group.layers.map((one) => (
              <Option key={one.name} layer={one} />
            ))}
          </optgroup>
        ),
      )}
    </select>
  );
}
