// What one view of the Facet panel knows beyond the model.

import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { remembered } from "../../common/memory";
import type { PanelState } from "../../common/state";
import type { FacetMessage, FacetTraits } from "./wire";

export interface FacetState extends PanelState<FacetTraits, FacetMessage> {
  /** Ids of the examples that are selected in the plot, for a facet of one's own. */
  selected: Signal<ReadonlySet<string>>;
  /** The example under the pointer or the focus. */
  looked: Signal<string | null>;
  /** By what the list of neurons is sorted, and whether the largest come first. */
  sorting: Signal<{ column: number; down: boolean }>;
  /** Whether what is on screen is another neuron's, or nothing yet. */
  stale: ReadonlySignal<boolean>;
}

/** The view's state, and what ends it. */
export function facetState(base: PanelState<FacetTraits, FacetMessage>): [FacetState, () => void] {
  const { traits } = base;
  const selected = signal<ReadonlySet<string>>(new Set());
  const looked = signal<string | null>(null);
  const end = effect(() => {
    // What is selected is of this neuron's examples.
    traits.summary.value.neuron;
    selected.value = new Set();
    looked.value = null;
  });
  const state: FacetState = {
    ...base,
    selected,
    looked,
    sorting: remembered(base.memory, "sorting", { column: 2, down: true }),
    stale: computed(() => traits.summary.value.neuron !== traits.neuron.value),
  };
  return [state, end];
}

export const FacetContext = createContext<FacetState | null>(null);

export function useFacets(): FacetState {
  const state = useContext(FacetContext);
  if (!state) throw new Error("a component of the Facet panel is used outside of it");
  return state;
}
