// What the components know by which a neuron is chosen, in every panel that has one.

import type { LayerInfo } from "../explorer/wire";
import { type PanelState, usePanel } from "../state";
import type { CommonMessage, CommonTraits } from "../wire";

export interface NeuronTraits extends CommonTraits {
  neuron: string;
  layer: string;
  layers: LayerInfo[];
}

export function useNeuron(): PanelState<NeuronTraits, CommonMessage> {
  return usePanel() as unknown as PanelState<NeuronTraits, CommonMessage>;
}
