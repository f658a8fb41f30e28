import { usePanel } from "../state";
import { ChannelField } from "./ChannelField";
import { ClassPicker } from "./ClassPicker";
import { LayerSelect } from "./LayerSelect";

/** A section's heading, by the id `neuron`, and the fields that choose a neuron: a layer and its channel, or a class. */
export function NeuronFields() {
  const panel = usePanel();
  return (
    <>
      <div class="sw-heading">
        <h3 id={panel.id("neuron")}>Neuron</h3>
      </div>
      <LayerSelect />
      <ChannelField />
      <ClassPicker />
    </>
  );
}
