// A map over its image, as pixels.

import { type SaliencyMap, type Scale, share, tableRow } from "./maps";

/** How much of the map there is to see where it says nothing: the rest grows with |value|. */
const FLOOR = 0.7;

const STEPS = 255;

/**
 * For each value in steps of the limit from −1 to 1, what is added to the image (red, green, blue) and what of the
 * image is left: there are few colours and many pixels.
 */
function shades(scale: Scale, opacity: number): Float32Array {
  const { table, kind } = scale.colours;
  // Where colours are light in the middle, the middle says nothing: there the image may show.
  const floor = kind === "diverging" ? FLOOR : 1;
  // From three quarters on the veil closes, so that at 1 the map stands alone.
  const last = Math.max(0, opacity * 4 - 3);
  const all = new Float32Array((2 * STEPS + 1) * 4);
  for (let step = -STEPS; step <= STEPS; step++) {
    const part = share((step / STEPS) * scale.limit, scale);
    const veil = opacity * (floor + (1 - floor) * Math.abs(part));
    const alpha = veil + (opacity - veil) * last;
    const row = tableRow(part, scale) * 3;
    const colour = [...table.subarray(row, row + 3)].map((channel) => channel * alpha);
    all.set([...colour, 1 - alpha], (step + STEPS) * 4);
  }
  return all;
}

/**
 * Paints `map` over `image` (both h · w; RGBA bytes) into `into`. Under the map the image loses its colours, so that
 * all colours are the map's, as fast as the map comes in: at opacity 0 the image is itself, at 1 there is the map alone.
 */
export function paintMap(
  into: Uint8ClampedArray,
  image: Uint8ClampedArray | null,
  map: SaliencyMap | null,
  scale: Scale,
  opacity: number,
): void {
  const pixels = into.length >> 2;
  const grey = map ? Math.min(1, opacity * 2) : 0;
  const colours = shades(scale, opacity);
  const perValue = scale.limit > 0 ? STEPS / scale.limit : 0;
  for (let pixel = 0, at = 0; pixel < pixels; pixel++, at += 4) {
    let red = image ? (image[at] as number) : 128;
    let green = image ? (image[at + 1] as number) : 128;
    let blue = image ? (image[at + 2] as number) : 128;
    if (grey > 0) {
      const light = 0.299 * red + 0.587 * green + 0.114 * blue;
      red += (light - red) * grey;
      green += (light - green) * grey;
      blue += (light - blue) * grey;
    }
    const value = map ? (map.values[pixel] as number) : Number.NaN;
    if (Number.isFinite(value)) {
      const step = Math.min(STEPS, Math.max(-STEPS, Math.round(value * perValue)));
      const shade = (step + STEPS) * 4;
      const left = colours[shade + 3] as number;
      red = red * left + (colours[shade] as number);
      green = green * left + (colours[shade + 1] as number);
      blue = blue * left + (colours[shade + 2] as number);
    }
    into[at] = red;
    into[at + 1] = green;
    into[at + 2] = blue;
    into[at + 3] = 255;
  }
}
