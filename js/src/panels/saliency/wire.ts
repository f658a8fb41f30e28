// What Python (`spade_widgets/widgets/saliency/wire.py`) and the Saliency panel agree on, beyond what every panel has.

import {
  type CommonMessage,
  type CommonReported,
  type CommonSelection,
  commonDefaults,
  type Status,
  type Which,
} from "../../common/wire";
import type { Bytes } from "../../lib/bytes";

export const networks: readonly Which[] = ["dense", "sparse"];

export interface MethodInfo {
  key: string;
  title: string;
  description: string;
  source: string;
  slow: boolean;
  /** Values below zero speak against the class; else there are none. */
  signed: boolean;
}

export interface ImageInfo {
  sample_id: string;
  /** The sample as the classifier sees it, h × w. */
  file: Bytes;
  /** h · w bytes, 1 where the ground truth lies; empty where none is known. */
  mask: Bytes;
}

export interface Metrics {
  trojan_auc: number | null;
  /** 1 is a hit, 0 a miss. */
  pointing_game: number | null;
  insertion: number | null;
  deletion: number | null;
}

export type CellState = "waiting" | "running" | "stale" | "stopped" | "done" | "error";

/** One network × method. */
export interface CellInfo {
  state: CellState;
  done: number;
  of: number;
  seconds: number;
  error: string;
  /** What the map does not keep of its method's promise. */
  note?: string;
  /** Changes when the map's bytes do. */
  key: string;
  sum: number;
  low: number;
  high: number;
  metrics: Metrics;
}

/** What the user chooses; Python puts an invalid value back and says why in `error`. */
export interface SaliencySelection extends CommonSelection {
  /** The columns, in the order chosen; at least one. */
  methods: string[];
  /** A class index; −1 is the class that the dense model predicts. */
  target: number;
}

/** How the maps are drawn. Nothing is computed for it. */
export interface Look {
  opacity: number;
  /** A key of `colormaps`, or "auto". */
  colormap: string;
  signed: boolean;
  /** Percentile of |map| that the colours end at. */
  clip: number;
  /** One scale for both rows of a column, or each map its own. */
  scale: "same" | "own";
  outline: boolean;
}

export interface SaliencyReported extends CommonReported {
  /** Inside the Explorer, which has samples, sparsity, plan and predictions itself. Constant. */
  embedded: boolean;
  all_methods: MethodInfo[];
  image: ImageInfo;
  /** By "dense/lrp". */
  cells: Record<string, CellInfo>;
  /** A reference to a Plotly figure, made after the message `{type: "curves"}`. */
  curves: string | null;
  /** Maps on screen are newer than the curves. */
  curves_stale: boolean;
  /** As `status`, of the curves. */
  curves_status: Status;
}

export type MapTrait = `map_${Which}_${string}`;
/** float32, little endian, h · w, row by row; empty where there is none. */
export type Maps = { [name in MapTrait]: Bytes };

export type SaliencyTraits = SaliencySelection & Look & SaliencyReported & Maps;

export type SaliencyMessage = CommonMessage | { type: "curves" } | { type: "export" };

/** A file that Python made for the user: one buffer. */
export interface FileMessage {
  type: "file";
  name: string;
}

export const mapTrait = (network: Which, method: string): MapTrait => `map_${network}_${method}`;
export const cellKey = (network: Which, method: string): string => `${network}/${method}`;

export const noCell: CellInfo = {
  state: "waiting",
  done: 0,
  of: 0,
  seconds: 0,
  error: "",
  key: "",
  sum: 0,
  low: 0,
  high: 0,
  metrics: { trojan_auc: null, pointing_game: null, insertion: null, deletion: null },
};

const nothing = new ArrayBuffer(0);

/** Defaults with a trait for each network × method, since each map has one of its own. */
export function saliencyDefaults(methods: readonly MethodInfo[]): SaliencyTraits {
  const maps: Maps = Object.fromEntries(
    methods.flatMap(({ key }) => networks.map((network) => [mapTrait(network, key), nothing])),
  );
  return {
    ...commonDefaults,
    methods: [],
    target: -1,
    opacity: 0.75,
    colormap: "auto",
    signed: true,
    clip: 99.5,
    scale: "same",
    outline: true,
    embedded: false,
    all_methods: [],
    image: { sample_id: "", file: nothing, mask: nothing },
    cells: {},
    curves: null,
    curves_stale: false,
    curves_status: commonDefaults.status,
    ...maps,
  };
}
