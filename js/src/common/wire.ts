// What every panel and Python (`spade_widgets/widgets/common/wire.py`) agree on. Keep the two sides in step.

export interface AppInfo {
  title: string;
  /** Height and width of what the classifier sees, in pixels. */
  input: [number, number];
  weights: number;
  /** Sentences about what was found of the model and is not as usual: it ends in a softmax, … */
  remarks?: string[];
  classes: string[];
  version: string;
}

export interface SampleInfo {
  id: string;
  title: string;
  label: string;
  /** Where its thumbnail is: in the trait `thumbs_<first>`, a list of bytes, at the place that is the second. */
  thumb: [number, number];
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
  solver: string;
  /** Whether it was pruned block by block. */
  sequential: boolean;
  /** The share of further augmentations that were to keep their class, and that do; null where a sparsity was asked for. */
  fidelity: { asked: number; reached: number } | null;
  /** What it is made with while it is not yet what was asked for, in few words; "" where it is. */
  draft: string;
  dense_layers: number;
  layers: TraceLayer[];
}

export interface Status {
  state: "idle" | "working" | "stopped" | "error";
  text: string;
  done: number | null;
  of: number | null;
  seconds: number;
  /** How long the trace in the making takes in all, in words; "" where that is not long, or nothing is traced. */
  about?: string;
}

/** What the user chooses in every panel: set from either side. Python puts an invalid value back and says why in `error`. */
export interface CommonSelection {
  sample_id: string;
  sparsity: number;
  preset: string;
  pattern: string;
  /** Pairs of a layer name or pattern and its sparsity: a plan of the user's own. */
  plan: [string, number][];
  solver: string;
  /** Whether to prune block by block. */
  sequential: boolean;
  /** In (0, 1]: the sparsest trace that keeps the prediction is looked for; `sparsity` goes where it is. Null: not. */
  fidelity: number | null;
}

/** What only Python sets, in every panel. */
export interface CommonReported {
  app: AppInfo;
  samples: SampleInfo[];
  presets: PresetInfo[];
  solvers: string[];
  /** Seconds that a trace takes, about; a solver that is missing is not estimated yet. */
  estimates: Record<string, number>;
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
  plan: [],
  solver: "",
  sequential: false,
  fidelity: null,
  app: { title: "", input: [1, 1], weights: 0, classes: [], version: "" },
  samples: [],
  presets: [],
  solvers: [],
  estimates: {},
  predictions: { sample_id: "", rows: [] },
  trace_summary: {},
  solved: [],
  status: { state: "idle", text: "", done: null, of: null, seconds: 0, about: "" },
  error: "",
  code: "",
};
