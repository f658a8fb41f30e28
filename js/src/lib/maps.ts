// Saliency maps as numbers: read from the wire's bytes, measured, and put on the scale that their colours have.

import { toUint8 } from "./bytes";
import { type Colormap, chosenColormap } from "./colormaps";

export interface SaliencyMap {
  values: Float32Array;
  /** Of the finite values; 0 where there are none. */
  low: number;
  high: number;
  /** Values that are neither NaN nor infinite. */
  finite: number;
  /** |value| of the finite ones, ascending. */
  magnitudes: Float32Array;
}

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The float32 values of bytes at any offset of any buffer. */
export function readFloats(data: unknown): Float32Array {
  const bytes = toUint8(data);
  const count = bytes.length >> 2;
  if (littleEndian && bytes.byteOffset % 4 === 0)
    return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Float32Array.from({ length: count }, (_, at) => view.getFloat32(at * 4, true));
}

function measure(values: Float32Array): SaliencyMap {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let finite = 0;
  const magnitudes = new Float32Array(values.length);
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    magnitudes[finite++] = Math.abs(value);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (finite === 0) low = high = 0;
  return { values, low, high, finite, magnitudes: magnitudes.subarray(0, finite).sort() };
}

const known = new WeakMap<object, SaliencyMap>();

/** The map that a trait holds; null where it holds none (or not one of this many pixels). Measured once. */
export function readMap(data: unknown, pixels: number): SaliencyMap | null {
  if (typeof data !== "object" || data === null) return null;
  let map = known.get(data);
  if (!map) {
    map = measure(readFloats(data));
    known.set(data, map);
  }
  return map.values.length === pixels && pixels > 0 ? map : null;
}

/** The percentile of |value|, between neighbours linearly, as NumPy does it. */
export function clipLimit(map: SaliencyMap, percentile: number): number {
  const { magnitudes } = map;
  if (magnitudes.length === 0) return 0;
  const at = (Math.min(100, Math.max(0, percentile)) / 100) * (magnitudes.length - 1);
  const below = magnitudes[Math.floor(at)] as number;
  const above = magnitudes[Math.ceil(at)] as number;
  const limit = below + (above - below) * (at - Math.floor(at));
  // A map of a few large values and zeros has its percentile at zero: there is still something to see.
  return limit > 0 ? limit : (magnitudes.at(-1) as number);
}

/** How values become colours. */
export interface Scale {
  /** |value| from which on the colours do not change. */
  limit: number;
  /** Which values have colours: both signs, the positive ones alone, or magnitudes. */
  signs: "both" | "positive" | "magnitude";
  colours: Colormap;
}

export interface ScaleLook {
  colormap: string;
  signed: boolean;
  clip: number;
}

/**
 * The one scale of these maps. Whether negative values have colours of their own says the method (`bySigns`), not the
 * maps at hand: colours that came and went with a few values would say more than these do.
 */
export function scaleOf(
  maps: readonly (SaliencyMap | null)[],
  bySigns: boolean,
  { colormap, signed, clip }: ScaleLook,
): Scale {
  const limits = maps.map((map) => (map ? clipLimit(map, clip) : 0));
  const signs = !signed ? "magnitude" : bySigns ? "both" : "positive";
  return { limit: Math.max(0, ...limits), signs, colours: chosenColormap(colormap, signs === "both") };
}

/** The part of the colour map's table that a scale uses: all of it, or the upper half of a diverging one. */
export function tableRange({ signs, colours }: Scale): [number, number] {
  return signs !== "both" && colours.kind === "diverging" ? [0.5, 1] : [0, 1];
}

/** The value as a share of the limit: in [−1, 1] where both signs have colours, else in [0, 1]. */
export function share(value: number, { limit, signs }: Scale): number {
  if (!(limit > 0)) return 0;
  const part = Math.min(1, Math.max(-1, value / limit));
  return signs === "both" ? part : signs === "magnitude" ? Math.abs(part) : Math.max(0, part);
}

/** The row in the colour map's table for a share of the limit. */
export function tableRow(part: number, { signs, colours }: Scale): number {
  const middle = signs === "both" || colours.kind === "diverging";
  return Math.round((middle ? (part + 1) / 2 : part) * 255);
}
