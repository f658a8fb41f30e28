// What Python (`spade_widgets/widgets/explorer.py`) and this front end agree on: what every panel has, and what the
// Explorer has besides. `saliencyWire.ts` says the same of the Saliency panel. Keep the two sides in step.

import type { Bytes } from "./lib/bytes";

export interface AppInfo {
  title: string;
  /** Height and width of what the classifier sees, in pixels. */
  input: [number, number];
  weights: number;
  classes: string[];
  version: string;
}

export interface SampleInfo {
  id: string;
  title: string;
  label: string;
  thumb: Bytes;
}

export interface LayerInfo {
  name: string;
  kind: "conv" | "linear" | "block";
  channels: number;
}

export interface PresetInfo {
  key: string;
  title: string;
  description: string;
}

export interface PredictionRow {
  index: number;
  name: string;
  /** Probabilities in [0, 1]; `sparse` is null until there is a trace. */
  dense: number;
  sparse: number | null;
}

export interface Predictions {
  sample_id: string;
  rows: PredictionRow[];
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
  rows: ChannelRow[];
}

export type Which = "dense" | "sparse";

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

export interface TraceLayer {
  name: string;
  kept: number;
  total: number;
  /** Relative reconstruction error of the layer's output on the augmentations; null where it was not measured. */
  error: number | null;
}

export interface TraceInfo {
  sample_id: string;
  sparsity: number;
  kept: number;
  total: number;
  agrees: boolean;
  dense_class: string;
  sparse_class: string;
  kl: number;
  /** Null in a lesson, which may have found the trace rather than made it. */
  seconds: number | null;
  augmentations: number;
  /** Augmentations that there will be: more than `augmentations` while the trace is a draft. */
  asked: number;
  dense_layers: number;
  layers: TraceLayer[];
}

export interface Status {
  state: "idle" | "working" | "stopped" | "error";
  text: string;
  done: number | null;
  of: number | null;
  seconds: number;
}

/** What the user chooses in every panel: set from either side. Python puts an invalid value back and says why in `error`. */
export interface CommonSelection {
  sample_id: string;
  sparsity: number;
  preset: string;
  pattern: string;
  solver: string;
}

/** What only Python sets, in every panel. */
export interface CommonReported {
  app: AppInfo;
  samples: SampleInfo[];
  presets: PresetInfo[];
  solvers: string[];
  predictions: Predictions;
  /** `{}` while there is no trace. */
  trace_summary: Partial<TraceInfo>;
  solved: number[];
  status: Status;
  error: string;
  code: string;
}

export type CommonTraits = CommonSelection & CommonReported;

/** What the centre of the Explorer shows. */
export type Centre = "visualization" | "saliency" | "both";

export interface Selection extends CommonSelection {
  neuron: string;
  layer: string;
  /** How pictures are made: `"fourier"` or `"maco"`; and how many of a neuron, side by side in one. */
  image: string;
  count: number;
  centre: Centre;
}

export interface Reported extends CommonReported {
  layers: LayerInfo[];
  channels: Channels;
  dense: Picture;
  sparse: Picture;
  dense_png: Bytes;
  sparse_png: Bytes;
  /** A reference to a child widget (`"anywidget:<model id>"`), made after the message `{type: "chart"}`. */
  chart: string | null;
  /** A reference to the Saliency panel inside, made when `centre` first asks for it. */
  saliency_panel: string | null;
  /** What the Saliency panel is at while it is in the middle; `"idle"` else. */
  maps_state: Status["state"];
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

/** Messages of every panel's page to Python. */
export type CommonMessage =
  | { type: "stop" }
  | { type: "resume" }
  | { type: "dismiss" }
  | { type: "add"; files: { name: string }[] }
  | { type: "visible"; view: string; visible: boolean };

export type ExplorerMessage = CommonMessage | { type: "chart" } | { type: "ack"; which: Which; seq: number };

const noPicture: Picture = {
  neuron: "",
  state: "empty",
  step: 0,
  steps: 0,
  seconds: 0,
  activation: null,
  dead: false,
  morph: null,
};

/** What a panel shows for a trait that is missing or null: nothing, without falling over. */
export const commonDefaults: CommonTraits = {
  sample_id: "",
  sparsity: 0,
  preset: "",
  pattern: "",
  solver: "",
  app: { title: "", input: [1, 1], weights: 0, classes: [], version: "" },
  samples: [],
  presets: [],
  solvers: [],
  predictions: { sample_id: "", rows: [] },
  trace_summary: {},
  solved: [],
  status: { state: "idle", text: "", done: null, of: null, seconds: 0 },
  error: "",
  code: "",
};

export const defaults: Traits = {
  ...commonDefaults,
  neuron: "",
  layer: "",
  image: "fourier",
  count: 1,
  centre: "visualization",
  layers: [],
  channels: { sample_id: "", layer: "", total: 0, rows: [] },
  dense: noPicture,
  sparse: noPicture,
  dense_png: new ArrayBuffer(0),
  sparse_png: new ArrayBuffer(0),
  chart: null,
  saliency_panel: null,
  maps_state: "idle",
};
