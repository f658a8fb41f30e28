// What the Explorer and Python (`spade_widgets/widgets/explorer/wire.py`) agree on, beyond what every panel has. The
// lesson, a recorded Explorer, keeps to it too. Keep the two sides in step.

import type { Bytes } from "../../lib/bytes";
import type { ExampleInfo } from "../examples/wire";
import {
  type CommonMessage,
  type CommonReported,
  type CommonSelection,
  commonDefaults,
  type Status,
  type Which,
} from "../wire";

export interface LayerInfo {
  name: string;
  kind: "conv" | "linear" | "block";
  channels: number;
}

export interface ChannelRow {
  channel: number;
  activation: number;
  map: Bytes;
}

export interface Channels {
  sample_id: string;
  layer: string;
  total: number;
  /** By what the rows are in order: what was asked for may not be known yet. */
  order?: ChannelOrder;
  rows: ChannelRow[];
}

/** Per cent of the photographs that excite the listed channels less: pairs, of those of which it is known. */
export interface ChannelShares {
  sample_id: string;
  layer: string;
  rows: [channel: number, percentile: number][];
}

/** Raw excitement, or the share of the photographs that excite a channel less than the sample does. */
export type ChannelOrder = "activation" | "percentile";

/** What the strip's examples are sorted by: what the dense network answers, or the share of it that the trace keeps. */
export type StripOrder = "activation" | "kept";

/** The photographs that examples are looked for in. */
export interface PhotoIndex {
  /** `"waiting"`: for other work, or to be told to go on. */
  state: "idle" | "waiting" | "working" | "stopped" | "error";
  /** Whether they are the panel's own samples, since none were given. */
  own: boolean;
  total: number;
  /** How many were looked at; those left out count. */
  done: number;
  /** Seconds that the rest takes, about; null while that is not known. */
  left: number | null;
  /** What could not be looked at, a sentence each. */
  left_out: string[];
}

/** The neuron's examples, the strongest first. */
export interface StripExamples {
  neuron: string;
  rows: ExampleInfo[];
}

/** What the sample's trace keeps of each example's activation. */
export interface StripKept {
  neuron: string;
  sample_id: string;
  /** An example's id and the share, where 1 is all of it. */
  rows: [string, number][];
}

/** How exceptional the sample is for the neuron. */
export interface Exceptional {
  neuron: string;
  sample_id: string;
  /** How many photographs were looked at, and how many examples of the neuron are known among them. */
  seen: number;
  examples: number;
  /** Per cent of the photographs that excite it less; null while that is not known. */
  percentile: number | null;
}

export type PictureState = "empty" | "waiting" | "rendering" | "stopped" | "done";

export interface Picture {
  neuron: string;
  state: PictureState;
  step: number;
  steps: number;
  seconds: number;
  activation: number | null;
  /** No step had any gradient: nothing that a picture shows reaches the neuron. */
  dead: boolean;
  /** What is on screen while the picture itself is not as far: activation and dead are its. */
  morph: Morph | null;
}

/** A picture that goes on under other weights than it was begun under. */
export interface Morph {
  /** Where it comes from, in few words; "" where it was begun under a draft of this very trace. */
  source: string;
  /** How many steps it has done under these weights. */
  step: number;
  /** Of the trace, or the draft of it, that it goes on under. */
  augmentations: number;
}

/** What the centre of the Explorer shows. */
export type Centre = "visualization" | "saliency" | "both";

export interface Selection extends CommonSelection {
  neuron: string;
  layer: string;
  /** How pictures are made: `"fourier"`, `"maco"` or `"sample"`; and how many of a neuron, side by side in one. */
  image: string;
  count: number;
  /** Of `"sample"`: how near to it pictures stay, in [0, 1). */
  near: number;
  centre: Centre;
  /** Whether the strip of examples is unfolded; how many it shows, and in which order. */
  strip: boolean;
  strip_count: number;
  strip_order: StripOrder;
  channel_order: ChannelOrder;
}

export interface Reported extends CommonReported {
  layers: LayerInfo[];
  channels: Channels;
  dense: Picture;
  sparse: Picture;
  /** Image files, of whichever type. */
  dense_file: Bytes;
  sparse_file: Bytes;
  /** A reference to a child widget (`"anywidget:<model id>"`), made after the message `{type: "chart"}`. */
  chart: string | null;
  /** A reference to the Saliency panel inside, made when `centre` first asks for it. */
  saliency_panel: string | null;
  /** What the Saliency panel is at while it is in the middle; `"idle"` else. */
  maps_state: Status["state"];
  photo_index: PhotoIndex;
  strip_examples: StripExamples;
  strip_kept: StripKept;
  exceptional: Exceptional;
  channel_shares: ChannelShares;
}

export type Traits = Selection & Reported;

export interface FrameMessage {
  type: "frame";
  which: Which;
  seq: number;
  step: number;
  steps: number;
  seconds: number;
}

export type ExplorerMessage =
  | CommonMessage
  | { type: "chart" }
  | { type: "ack"; which: Which; seq: number }
  | { type: "example"; id: string }
  | { type: "photos"; files: { name: string }[] };

/** The answer to each `"photos"`: so many files were taken, and the next may come. */
export interface PhotosTaken {
  type: "photos taken";
  files: number;
}

/** Of a place that has no picture yet. */
export const noPicture: Picture = {
  neuron: "",
  state: "empty",
  step: 0,
  steps: 0,
  seconds: 0,
  activation: null,
  dead: false,
  morph: null,
};

export const defaults: Traits = {
  ...commonDefaults,
  neuron: "",
  layer: "",
  image: "fourier",
  count: 1,
  near: 0.5,
  centre: "visualization",
  layers: [],
  channels: { sample_id: "", layer: "", total: 0, rows: [] },
  dense: noPicture,
  sparse: noPicture,
  dense_file: new ArrayBuffer(0),
  sparse_file: new ArrayBuffer(0),
  chart: null,
  saliency_panel: null,
  maps_state: "idle",
  strip: false,
  strip_count: 9,
  strip_order: "activation",
  channel_order: "activation",
  photo_index: { state: "idle", own: true, total: 0, done: 0, left: null, left_out: [] },
  strip_examples: { neuron: "", rows: [] },
  strip_kept: { neuron: "", sample_id: "", rows: [] },
  channel_shares: { sample_id: "", layer: "", rows: [] },
  exceptional: { neuron: "", sample_id: "", seen: 0, examples: 0, percentile: null },
};
