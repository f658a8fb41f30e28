// What the Explorer and Python (`spade_widgets/widgets/explorer/wire.py`) agree on, beyond what every panel has. The
// lesson, a recorded Explorer, keeps to it too. Keep the two sides in step.

import type { Bytes } from "../../lib/bytes";
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
  rows: ChannelRow[];
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
};
