// What Python (`spade_widgets/widgets/facets/wire.py`) and the Facet panel agree on, beyond what every panel has.

import type { ExampleInfo } from "../../common/examples/wire";
import type { LayerInfo, Picture } from "../../common/explorer/wire";
import {
  type CommonMessage,
  type CommonReported,
  type CommonSelection,
  commonDefaults,
  type Status,
} from "../../common/wire";
import type { Bytes } from "../../lib/bytes";

/** `count` where as many facets are shown as there are; and the most that can be asked for. */
export const AUTO = 0;
export const MOST = 6;
/** Pictures at most: the dense one, and one more facet than can be asked for. */
export const PLACES = 8;

export interface FacetInfo {
  /** Places among the examples, the strongest first. */
  members: number[];
  /** Of all examples, in (0, 1]. */
  share: number;
}

export interface FacetSummary {
  /** Whose facets these are; "" while none are known. */
  neuron: string;
  /** What is to be thought of them, in words. */
  sentence: string;
  /** How many photographs were looked at, and whether they are the panel's own samples. */
  seen: number;
  own: boolean;
  facets: FacetInfo[];
}

/** An example, and where it lies along the two principal directions of what reached the neuron. */
export interface Point extends ExampleInfo {
  x: number;
  y: number;
  facet: number;
}

export interface FacetTrace {
  kept: number;
  total: number;
  solver: string;
  augmentations: number;
  /** Medians of the share of the neuron's activation that it keeps; null while not measured, or where all are its own. */
  keeps_own: number | null;
  keeps_others: number | null;
}

/** A channel, its facets, how much clearer than chance they are, how stable, and of how many examples. */
export type SurveyRow = [number, number, number, number, number];

export interface Survey {
  layer: string;
  /** `"looking"`: at photographs, of which `done` and `of` tell then; else of channels. */
  state: "idle" | "looking" | "working" | "stopped" | "done";
  done: number;
  of: number;
  /** Seconds, about; null while that is not known. */
  left: number | null;
  rows: SurveyRow[];
}

export interface FacetSelection extends CommonSelection {
  neuron: string;
  count: number;
  /** Ids of examples, a list a facet of the user's own. */
  groups: string[][];
  layer: string;
  listing: boolean;
}

export interface FacetReported extends CommonReported {
  layers: LayerInfo[];
  summary: FacetSummary;
  examples: Point[];
  pictures: Picture[];
  trace_rows: (FacetTrace | null)[];
  survey: Survey;
  status: Status;
}

export type Files = { [name in `picture_${number}`]: Bytes };
export type FacetTraits = FacetSelection & FacetReported & Files;

export type FacetMessage =
  | CommonMessage
  | { type: "ack"; which: string; seq: number }
  | { type: "example"; id: string }
  | { type: "reset" };

const nothing = new ArrayBuffer(0);

export const facetDefaults: FacetTraits = {
  ...commonDefaults,
  neuron: "",
  count: AUTO,
  groups: [],
  layer: "",
  listing: false,
  layers: [],
  summary: { neuron: "", sentence: "", seen: 0, own: true, facets: [] },
  examples: [],
  pictures: [],
  trace_rows: [],
  survey: { layer: "", state: "idle", done: 0, of: 0, left: null, rows: [] },
  ...Object.fromEntries(Array.from({ length: PLACES }, (_, place) => [`picture_${place}`, nothing])),
};
