// What Python (`spade_widgets/widgets/explorer.py`) and this front end agree on. Keep the two in step.

/** Binary data as it arrives from the kernel: a DataView on a larger buffer, so mind `byteOffset`. */
export type Bytes = DataView | ArrayBuffer | Uint8Array;

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
  seconds: number;
  augmentations: number;
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

/** What the user chooses: set from either side. Python puts an invalid value back and says why in `error`. */
export interface Selection {
  sample_id: string;
  sparsity: number;
  neuron: string;
  layer: string;
  preset: string;
  pattern: string;
  solver: string;
}

/** What only Python sets. */
export interface Reported {
  app: AppInfo;
  samples: SampleInfo[];
  layers: LayerInfo[];
  presets: PresetInfo[];
  solvers: string[];
  predictions: Predictions;
  channels: Channels;
  dense: Picture;
  sparse: Picture;
  dense_png: Bytes;
  sparse_png: Bytes;
  /** `{}` while there is no trace. */
  trace_summary: Partial<TraceInfo>;
  solved: number[];
  status: Status;
  error: string;
  code: string;
  /** A reference to a child widget (`"anywidget:<model id>"`), made after the message `{type: "chart"}`. */
  chart: string | null;
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

/** Messages of the page to Python. */
export type PageMessage =
  | { type: "stop" }
  | { type: "resume" }
  | { type: "dismiss" }
  | { type: "chart" }
  | { type: "add"; files: { name: string }[] }
  | { type: "visible"; view: string; visible: boolean }
  | { type: "ack"; which: Which; seq: number };

const noPicture: Picture = {
  neuron: "",
  state: "empty",
  step: 0,
  steps: 0,
  seconds: 0,
  activation: null,
  dead: false,
};

/** What the panel shows for a trait that is missing or null: nothing, without falling over. */
export const defaults: Traits = {
  sample_id: "",
  sparsity: 0,
  neuron: "",
  layer: "",
  preset: "",
  pattern: "",
  solver: "",
  app: { title: "", input: [1, 1], weights: 0, classes: [], version: "" },
  samples: [],
  layers: [],
  presets: [],
  solvers: [],
  predictions: { sample_id: "", rows: [] },
  channels: { sample_id: "", layer: "", total: 0, rows: [] },
  dense: noPicture,
  sparse: noPicture,
  dense_png: new ArrayBuffer(0),
  sparse_png: new ArrayBuffer(0),
  trace_summary: {},
  solved: [],
  status: { state: "idle", text: "", done: null, of: null, seconds: 0 },
  error: "",
  code: "",
  chart: null,
};
