// Colour maps as tables of 256 colours: what maps are painted with, and what swatches and colour bars show.

import {
  interpolateBlues,
  interpolateGreys,
  interpolateInferno,
  interpolateMagma,
  interpolatePRGn,
  interpolatePuOr,
  interpolateRdBu,
  interpolateViridis,
} from "d3-scale-chromatic";

export interface Colormap {
  key: string;
  title: string;
  /** Diverging maps have their middle at zero; sequential ones begin there, where no value is negative. */
  kind: "diverging" | "sequential";
  /** 256 × (red, green, blue). */
  table: Uint8ClampedArray;
}

const STEPS = 256;

function read(colour: string): [number, number, number] {
  if (colour.startsWith("#")) {
    const value = Number.parseInt(colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue];
}

function make(
  key: string,
  title: string,
  kind: Colormap["kind"],
  colour: (place: number) => string,
): () => Colormap {
  let made: Colormap | undefined;
  return () => {
    if (!made) {
      const table = new Uint8ClampedArray(STEPS * 3);
      for (let step = 0; step < STEPS; step++) table.set(read(colour(step / (STEPS - 1))), step * 3);
      made = { key, title, kind, table };
    }
    return made;
  };
}

// What a name says first is the upper end: red is for, blue against.
const makers = {
  rdbu: make("rdbu", "Red–blue", "diverging", (place) => interpolateRdBu(1 - place)),
  puor: make("puor", "Orange–purple", "diverging", interpolatePuOr),
  prgn: make("prgn", "Green–purple", "diverging", interpolatePRGn),
  inferno: make("inferno", "Inferno", "sequential", interpolateInferno),
  magma: make("magma", "Magma", "sequential", interpolateMagma),
  viridis: make("viridis", "Viridis", "sequential", interpolateViridis),
  blues: make("blues", "Blues", "sequential", interpolateBlues),
  greys: make("greys", "Greys", "sequential", (place) => interpolateGreys(1 - place)),
};

export type ColormapKey = keyof typeof makers;
export const colormapKeys = Object.keys(makers) as ColormapKey[];

export function colormap(key: string): Colormap | null {
  return Object.hasOwn(makers, key) ? makers[key as ColormapKey]() : null;
}

/** The colour map meant by a choice ("auto" included) for values that are negative, too, or are not. */
export function chosenColormap(choice: string, negative: boolean): Colormap {
  return colormap(choice) ?? (negative ? makers.rdbu() : makers.inferno());
}

/** A part of the table as the stops of a gradient: (place, CSS colour). */
export function gradientStops({ table }: Colormap, from = 0, to = 1, steps = 16): [number, string][] {
  return Array.from({ length: steps + 1 }, (_, step) => {
    const at = Math.round((from + ((to - from) * step) / steps) * (STEPS - 1)) * 3;
    return [step / steps, `rgb(${table[at]} ${table[at + 1]} ${table[at + 2]})`];
  });
}

/** The same as a CSS gradient, for swatches and colour bars. */
export function gradient(map: Colormap, from = 0, to = 1): string {
  const stops = gradientStops(map, from, to).map(([, colour]) => colour);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
