const narrowSpace = "\u202f";

/** 1230506 → "1 230 506", with spaces that neither break nor widen. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, narrowSpace);
}

/** 1230506 → "1.23 M". */
export function short(value: number): string {
  const units: [number, string][] = [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  for (const [size, unit] of units) {
    if (value >= size) return `${(value / size).toPrecision(3)}${narrowSpace}${unit}`;
  }
  return String(Math.round(value));
}

/** A share in [0, 1] in percents, without the sign, always with as many decimals: figures keep their places. */
export function percent(share: number, decimals = 1): string {
  return (share * 100).toFixed(decimals);
}

/** With a minus that is as wide as a plus. */
export function decimal(value: number, decimals = 2): string {
  return value.toFixed(decimals).replace("-", "\u2212");
}

export function seconds(value: number): string {
  if (value < 100) return `${value.toFixed(1)}${narrowSpace}s`;
  const minutes = Math.floor(value / 60);
  return `${minutes}:${String(Math.floor(value % 60)).padStart(2, "0")}${narrowSpace}min`;
}

/** An estimate of a time, as one says it: "40 s", "4 min", "2 h". */
export function roughly(value: number): string {
  for (const [unit, length] of [
    ["h", 3600],
    ["min", 60],
  ] as const) {
    if (value >= 1.5 * length) return `${Math.round(value / length)}${narrowSpace}${unit}`;
  }
  return `${Math.max(1, Math.round(value))}${narrowSpace}s`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2
    ? (sorted[half] as number)
    : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** Something that every file system takes as a name. */
export function fileStem(...parts: string[]): string {
  const safe = parts
    .map((part) => part.replace(/[^\p{L}\p{N}._@-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, ""))
    .filter((part) => part !== "");
  return safe.join("_").slice(0, 120);
}

export function fileName(...parts: string[]): string {
  return `${fileStem(...parts) || "picture"}.png`;
}

const plain = (value: number) => (value === 0 ? "0" : value.toPrecision(3));

/** A number of any size in three figures: 0.0123, −1.23, 4.56e−7. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "\u2212∞";
  const size = Math.abs(value);
  const large = size >= 100 && size < 1e5;
  const tiny = size > 0 && size < 1e-3;
  const text = large ? value.toFixed(0) : size >= 1e5 || tiny ? value.toExponential(2) : plain(value);
  // 123457 as 1.23e5 rather than 1.23e+5, and a minus as wide as a plus.
  return text.replace("e+", "e").replaceAll("-", "\u2212");
}
