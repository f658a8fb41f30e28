// What every panel and Python (`spade_widgets/widgets/common/wire.py`) agree on. Keep the two sides in step.

import type { Bytes } from "../lib/bytes";

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

export type Which = "dense" | "sparse";

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

/** Messages of every panel's page to Python. */
export type CommonMessage =
  | { type: "stop" }
  | { type: "resume" }
  | { type: "dismiss" }
  | { type: "add"; files: { name: string }[] }
  | { type: "visible"; view: string; visible: boolean };

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
