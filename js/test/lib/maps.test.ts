import { expect, test } from "vitest";
import { chosenColormap, colormap, colormapKeys, gradientStops } from "../../src/lib/colormaps";
import { figure } from "../../src/lib/format";
import {
  clipLimit,
  readFloats,
  readMap,
  type Scale,
  scaleOf,
  share,
  tableRange,
  tableRow,
} from "../../src/lib/maps";
import { npy } from "../../src/lib/npy";
import { outlinePath } from "../../src/lib/outline";
import { paintMap } from "../../src/lib/paintMap";

/** float32 bytes at an offset that is no multiple of four, with other bytes around. */
function bytes(values: readonly number[], offset = 3): DataView {
  const buffer = new ArrayBuffer(offset + values.length * 4 + 5);
  new Uint8Array(buffer).fill(255);
  const view = new DataView(buffer, offset, values.length * 4);
  for (const [index, value] of values.entries()) view.setFloat32(index * 4, value, true);
  return view;
}
const map = (...values: number[]) => {
  const read = readMap(bytes(values), values.length);
  if (!read) throw new Error("no map");
  return read;
};
const look = { colormap: "auto", signed: true, clip: 100 };

test("floats are read from any offset of a larger buffer, and no others of it", () => {
  for (const offset of [0, 1, 2, 3, 4, 8]) {
    expect([...readFloats(bytes([1.5, -2, 0.25], offset))]).toEqual([1.5, -2, 0.25]);
  }
  expect(readFloats(new ArrayBuffer(0))).toHaveLength(0);
});

test("a map has as many values as there are pixels, or is none", () => {
  expect(readMap(bytes([1, 2]), 3)).toBeNull();
  expect(readMap(new ArrayBuffer(0), 0)).toBeNull();
  expect(readMap(null, 4)).toBeNull();
  const data = bytes([1, 2]);
  expect(readMap(data, 2)).toBe(readMap(data, 2));
});

test("what is not finite is counted, and is in no statistic", () => {
  const read = map(Number.NaN, -3, Number.POSITIVE_INFINITY, 2);
  expect(read).toMatchObject({ low: -3, high: 2, finite: 2 });
  expect([...read.magnitudes]).toEqual([2, 3]);
  expect(map(Number.NaN)).toMatchObject({ low: 0, high: 0, finite: 0 });
});

test("the colours end at a percentile, as NumPy has it", () => {
  // np.percentile(np.abs([-4, 3, 2, 1, 0]), [50, 90, 99.5, 100])
  const read = map(-4, 3, 2, 1, 0);
  expect(clipLimit(read, 50)).toBeCloseTo(2, 6);
  expect(clipLimit(read, 90)).toBeCloseTo(3.6, 6);
  expect(clipLimit(read, 99.5)).toBeCloseTo(3.98, 6);
  expect(clipLimit(read, 100)).toBe(4);
  // One value among zeros is still to be seen.
  expect(clipLimit(map(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7), 90)).toBe(7);
  expect(clipLimit(map(0, 0), 99)).toBe(0);
});

test("one scale for several maps ends where the greatest does; the method says whether signs have colours", () => {
  const weak = map(0, 1, 2);
  const strong = map(-8, 0, 1);
  const both = scaleOf([weak, strong, null], true, look);
  expect(both).toMatchObject({ limit: 8, signs: "both" });
  expect(both.colours.kind).toBe("diverging");
  expect(scaleOf([weak], true, look)).toMatchObject({ limit: 2, signs: "both" });
  expect(scaleOf([weak], false, look)).toMatchObject({ signs: "positive", colours: { key: "inferno" } });
  expect(scaleOf([strong], true, { ...look, signed: false })).toMatchObject({ signs: "magnitude" });
  expect(scaleOf([null], true, look)).toMatchObject({ limit: 0 });
});

test("values become shares of the limit, clipped", () => {
  const scale = (signs: Scale["signs"], key = "inferno"): Scale => ({
    limit: 2,
    signs,
    colours: chosenColormap(key, false),
  });
  const values = [-4, -1, 0, 1, 4];
  expect(values.map((value) => share(value, scale("both")))).toEqual([-1, -0.5, 0, 0.5, 1]);
  expect(values.map((value) => share(value, scale("magnitude")))).toEqual([1, 0.5, 0, 0.5, 1]);
  expect(values.map((value) => share(value, scale("positive")))).toEqual([0, 0, 0, 0.5, 1]);
  expect(values.map((value) => tableRow(share(value, scale("both")), scale("both")))).toEqual([
    0, 64, 128, 191, 255,
  ]);
  expect(values.map((value) => tableRow(share(value, scale("positive")), scale("positive")))).toEqual([
    0, 0, 0, 128, 255,
  ]);
  // Of a diverging map, values without signs have the upper half.
  const upper = scale("magnitude", "rdbu");
  expect(values.map((value) => tableRow(share(value, upper), upper))).toEqual([255, 191, 128, 191, 255]);
  expect(tableRange(scale("magnitude", "rdbu"))).toEqual([0.5, 1]);
  expect(tableRange(scale("both", "rdbu"))).toEqual([0, 1]);
  expect(share(3, { ...scale("both"), limit: 0 })).toBe(0);
});

test("every colour map is there, from its one end to the other", () => {
  for (const key of colormapKeys) {
    const { table } = colormap(key) ?? { table: [] };
    expect(table).toHaveLength(768);
    expect([...table.slice(0, 3)]).not.toEqual([...table.slice(-3)]);
  }
  expect(colormap("toString")).toBeNull();
  expect(chosenColormap("no such", true).key).toBe("rdbu");
  const [blue, red] = [0, 255].map((row) => chosenColormap("auto", true).table.slice(row * 3, row * 3 + 3));
  expect((blue?.[2] ?? 0) > (blue?.[0] ?? 0) && (red?.[0] ?? 0) > (red?.[2] ?? 0)).toBe(true);
  // Orange is the upper end where its name comes first.
  const [low, high] = [0, 255].map((row) => colormap("puor")?.table.slice(row * 3, row * 3 + 3));
  expect((low?.[2] ?? 0) > (low?.[0] ?? 0) && (high?.[0] ?? 0) > (high?.[2] ?? 0)).toBe(true);
  expect(gradientStops(chosenColormap("greys", false), 0, 1, 1)).toEqual([
    [0, "rgb(0 0 0)"],
    [1, "rgb(255 255 255)"],
  ]);
});

test("at opacity 0 the image is itself, at 1 there is the map alone, between them both", () => {
  const image = new Uint8ClampedArray([10, 200, 30, 255, 10, 200, 30, 255]);
  const scale = scaleOf([map(0, 1)], false, { ...look, colormap: "greys" });
  const paint = (opacity: number, values = map(0, 1)) => {
    const into = new Uint8ClampedArray(8);
    paintMap(into, image, values, scale, opacity);
    return [...into];
  };
  expect(paint(0)).toEqual([...image]);
  expect(paint(1)).toEqual([0, 0, 0, 255, 255, 255, 255, 255]);
  const [dark = 0, , , , light = 0] = paint(0.5);
  expect(light - dark).toBeGreaterThan(100);
  expect(light).toBeLessThan(255);
  // A value that is none leaves the image to be seen, without its colours.
  const [red, green, blue] = paint(1, map(Number.NaN, 1));
  expect(red).toBe(green);
  expect(green).toBe(blue);
  // Without a map the image keeps its colours; without an image it is grey.
  const into = new Uint8ClampedArray(8);
  paintMap(into, image, null, scale, 0.8);
  expect([...into]).toEqual([...image]);
  paintMap(into, null, null, scale, 0);
  expect([...into]).toEqual([128, 128, 128, 255, 128, 128, 128, 255]);
});

test("a mask's border runs between its pixels and the others", () => {
  const mask = new Uint8Array([0, 0, 0, 0, 1, 1, 0, 1, 0]);
  const strokes = outlinePath(mask, 3, 3).match(/M[^M]+/g) ?? [];
  expect(new Set(strokes)).toEqual(new Set(["M1 1H3", "M2 2H3", "M1 3H2", "M1 1V3", "M2 2V3", "M3 1V2"]));
  expect(outlinePath(new Uint8Array(9), 3, 3)).toBe("");
  expect(outlinePath(new Uint8Array(0), 3, 3)).toBe("");
  expect(outlinePath(new Uint8Array([1]), 1, 1)).toBe("M0 0H1M0 1H1M0 0V1M1 0V1");
});

test("a .npy file has NumPy's header and the values", () => {
  const file = npy(Float32Array.from([1, -2, 3, 4, 5, 6]), [2, 3]);
  const header = new DataView(file.buffer).getUint16(8, true);
  expect((10 + header) % 64).toBe(0);
  expect(new TextDecoder("latin1").decode(file.subarray(0, 6))).toBe("\u0093NUMPY");
  const text = new TextDecoder().decode(file.subarray(10, 10 + header));
  expect(text).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
  expect([...readFloats(file.subarray(10 + header))]).toEqual([1, -2, 3, 4, 5, 6]);
});

test("numbers of any size are written in three figures", () => {
  expect([0, 0.01234, -1.234, 12.34, 1234.4, 123456, 4.561e-7].map(figure)).toEqual([
    "0",
    "0.0123",
    "\u22121.23",
    "12.3",
    "1234",
    "1.23e5",
    "4.56e\u22127",
  ]);
  expect([Number.NaN, Number.NEGATIVE_INFINITY].map(figure)).toEqual(["NaN", "\u2212∞"]);
});
