// What a lesson's file holds: `spade_widgets/widgets/lesson/record.py` writes it. Keep the two sides in step.

import type { AppInfo, PredictionRow, TraceInfo } from "../../common/wire";

/** A picture that came to its end; `image` is its number in the list of images. */
export interface Shot {
  image: number;
  steps: number;
  seconds: number;
  activation: number | null;
  dead: boolean;
}

/** A channel's activation map over a sample, and its mean activation there. */
export interface Excitement {
  image: number;
  activation: number;
}

export interface RecordedTrace {
  facts: TraceInfo;
  rows: PredictionRow[];
  /** A picture a neuron. */
  pictures: Shot[];
}

export interface RecordedSample {
  id: string;
  title: string;
  label: string;
  thumb: number;
  /** One a neuron; null where the neuron is a class. */
  excitements: (Excitement | null)[];
  /** One a sparsity. */
  traces: RecordedTrace[];
  /** A picture a neuron, where each sample has dense ones of its own: those that begin at it. */
  dense?: Shot[] | null;
}

export interface Recording {
  title: string;
  /** How it was made, in words. */
  notes: string[];
  app: AppInfo;
  neurons: string[];
  /** Ascending. */
  sparsities: number[];
  /** Which of each is on screen first. */
  start: { sample: number; neuron: number; sparsity: number };
  /** How pictures were made; `"fourier"` in lessons that don't say. */
  image?: string;
  /** A picture a neuron; none where each sample has its own. */
  dense: Shot[];
  samples: RecordedSample[];
  /** Each is there once, in base64. */
  images: string[];
}

function decode(text: string): Uint8Array {
  const binary = atob(text);
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

export type Images = (image: number) => Uint8Array;

/** The images' bytes by number, each decoded when it is first asked for. */
export function imagesOf(recording: Recording): Images {
  const known: Uint8Array[] = [];
  return (image) => {
    known[image] ??= decode(recording.images[image] ?? "");
    return known[image];
  };
}
