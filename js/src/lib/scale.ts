// The sparsity slider's scale. What a trace loses happens near 1, so the handle moves finer there:
// s = MAX · (1 − (1 − p)²), with p the handle's place in [0, 1]. 50 % lies at 0.30, 90 % at 0.70, 98 % at 0.90.

export const MAX_SPARSITY = 0.99;

export function clampSparsity(sparsity: number): number {
  return Math.min(MAX_SPARSITY, Math.max(0, sparsity));
}

export function toPlace(sparsity: number): number {
  return 1 - Math.sqrt(1 - clampSparsity(sparsity) / MAX_SPARSITY);
}

export function toSparsity(place: number): number {
  const rest = 1 - Math.min(1, Math.max(0, place));
  return MAX_SPARSITY * (1 - rest * rest);
}

/** Tenths of a percent are the finest that the panel shows and sets. */
export function round(sparsity: number): number {
  return clampSparsity(Math.round(sparsity * 1000) / 1000);
}

/** Where a dragged handle rests: whole percents, halves from 90 % on, so that values are met again. */
export function snap(sparsity: number): number {
  const grid = sparsity < 0.9 ? 100 : 200;
  return round(Math.round(sparsity * grid) / grid);
}

/** The value a pointer at `place` means: a solved sparsity nearby (they show at once), else one on the grid. */
export function snapPlace(place: number, solved: readonly number[], reach: number): number {
  const value = snap(toSparsity(place));
  let best = value;
  let distance = reach;
  for (const candidate of solved) {
    const away = Math.abs(toPlace(candidate) - place);
    if (away < distance) {
      distance = away;
      best = clampSparsity(candidate);
    }
  }
  return best;
}

/** The value that a key leads to, or null where the key is none of the slider's. */
export function stepKey(sparsity: number, key: string): number | null {
  const fine = (sign: number) => {
    const coarse = sign > 0 ? sparsity < 0.9 - 1e-9 : sparsity < 0.9 + 1e-9;
    return round(sparsity + sign * (coarse ? 0.01 : 0.005));
  };
  switch (key) {
    case "ArrowRight":
    case "ArrowUp":
      return fine(1);
    case "ArrowLeft":
    case "ArrowDown":
      return fine(-1);
    case "PageUp":
      return round(sparsity + 0.1);
    case "PageDown":
      return round(sparsity - 0.1);
    case "Home":
      return 0;
    case "End":
      return MAX_SPARSITY;
    default:
      return null;
  }
}

/** The one of a few sparsities that lies nearest. */
export function nearestStop(sparsity: number, stops: readonly number[]): number {
  const away = (stop: number) => Math.abs(stop - sparsity);
  return stops.reduce((best, stop) => (away(stop) < away(best) ? stop : best), stops[0] ?? sparsity);
}

/** Where a key leads among a few sparsities, ascending; null where the key is none of the slider's. */
export function stepStops(sparsity: number, key: string, stops: readonly number[]): number | null {
  const steps: Record<string, number> = {
    ...{ ArrowRight: 1, ArrowUp: 1, PageUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -1 },
    ...{ Home: -stops.length, End: stops.length },
  };
  const step = steps[key];
  if (step === undefined) return null;
  const to = stops.indexOf(nearestStop(sparsity, stops)) + step;
  return stops[Math.min(stops.length - 1, Math.max(0, to))] ?? null;
}

/** Those of a few sparsities, ascending, that can be written under the slider without running into one another. */
export function spacedStops(stops: readonly number[], least = 0.07): number[] {
  const kept: number[] = [];
  for (const stop of stops) {
    const last = kept.at(-1);
    if (last === undefined || toPlace(stop) - toPlace(last) >= least) kept.push(stop);
  }
  return kept;
}

/** Reads "91", "91.5 %" or "0.915" as a sparsity; null where it is none. "0." and a fraction is a share, the rest percents. */
export function parseSparsity(text: string): number | null {
  const cleaned = text.trim().replace(",", ".");
  const number = cleaned.replace(/\s*%$/, "");
  if (!/^(\d+\.?\d*|\.\d+)$/.test(number)) return null;
  const value = /^0?\.\d+$/.test(cleaned) ? Number(number) : Number(number) / 100;
  return value <= MAX_SPARSITY + 1e-9 ? round(value) : null;
}
