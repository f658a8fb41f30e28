import { classIndex, logitNeuron, parseNeuron } from "../../lib/neuron";
import { useExplorer } from "../explorer/state";
import { Predictions } from "./Predictions";

/** A class's name shows that class as the neuron; `has`: which neurons there are, where not all can be shown. */
export function NeuronPredictions({ has = () => true }: { has?(neuron: string): boolean }) {
  const panel = useExplorer();
  const { classes } = panel.traits.app.value;
  return (
    <Predictions
      chosen={classIndex(parseNeuron(panel.traits.neuron.value), classes)}
      what="show what excites this class"
      onChoose={(index) => panel.connection.set("neuron", logitNeuron(index, classes))}
      canChoose={(index) => has(logitNeuron(index, classes))}
    />
  );
}
