// A map over its image, as pixels.

import { type SaliencyMap, type Scale, share, tableRow } from "./maps";

/** How much of the map there is to see where it says nothing: the rest grows with |value|. */
const FLOOR = 0.7;

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
  const { table } = scale.colours;
  const grey = map ? Math.min(1, opacity * 2) : 0;
  // Where colours are light in the middle, the middle says nothing: there the image may show.
  const floor = scale.colours.kind === "diverging" ? FLOOR : 1;
  // From three quarters on the veil closes, so that at 1 the map stands alone.
  const last = Math.max(0, opacity * 4 - 3);
  for (let pixel = 0, at = 0; pixel < pixels; pixel++, at += 4) {
    let red = image?.[at] ?? 128;
    let green = image?.[at + 1] ?? 128;
    let blue = image?.[at + 2] ?? 128;
    const value = map?.values[pixel] ?? Number.NaN;
    if (map) {
      const light = 0.299 * red + 0.587 * green + 0.114 * blue;
      red += (light - red) * grey;
      green += (light - green) * grey;
      blue += (light - blue) * grey;
    }
    if (Number.isFinite(value)) {
      const part = share(value, scale);
      const veil = opacity * (floor + (1 - floor) * Math.abs(part));
      const alpha = veil + (opacity - veil) * last;
      const row = tableRow(part, scale) * 3;
      red += ((table[row] as number) - red) * alpha;
      green += ((table[row + 1] as number) - green) * alpha;
      blue += ((table[row + 2] as number) - blue) * alpha;
    }
    into[at] = red;
    into[at + 1] = green;
    into[at + 2] = blue;
    into[at + 3] = 255;
  }
}
