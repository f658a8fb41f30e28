import { expect, test } from "vitest";
import { apart, fitted, inside, nextPoint } from "../../../src/panels/facets/plot/lasso";

const at = (x: number, y: number) => ({ x, y });

test("a lasso holds what lies within its line, whichever way round and however it is bent", () => {
  const hook = [at(0, 0), at(10, 0), at(10, 10), at(6, 10), at(6, 4), at(0, 4)];
  for (const line of [hook, [...hook].reverse()]) {
    expect(inside(line, at(2, 2))).toBe(true);
    expect(inside(line, at(8, 9))).toBe(true);
    expect(inside(line, at(2, 8))).toBe(false);
    expect(inside(line, at(12, 2))).toBe(false);
  }
  expect(inside([], at(0, 0))).toBe(false);
  expect(inside([at(0, 0), at(1, 1)], at(0.5, 0.5))).toBe(false);
});

test("an arrow leads to the nearest point ahead", () => {
  const places = [at(0, 0), at(5, 1), at(4, 9), at(1, 4), at(-3, 0)];
  expect(nextPoint(places, 0, "ArrowRight")).toBe(1);
  expect(nextPoint(places, 0, "ArrowDown")).toBe(3);
  expect(nextPoint(places, 0, "ArrowLeft")).toBe(4);
  expect(nextPoint(places, 1, "ArrowDown")).toBe(2);
  expect(nextPoint(places, 2, "ArrowDown")).toBe(null);
  expect(nextPoint(places, 0, "Enter")).toBe(null);
});

test("both directions have one scale, and the second one points up", () => {
  const places = fitted([at(0, 0), at(4, 0), at(2, 1)], 100, 10);
  expect(places.map(({ x }) => x)).toEqual([10, 90, 50]);
  expect(places.map(({ y }) => y)).toEqual([60, 60, 40]);
  expect(fitted([at(3, 3)], 100, 10)).toEqual([at(50, 50)]);
  expect(fitted([], 100, 10)).toEqual([]);
});

test("points at one place are moved until they can be told apart; others stay where they are", () => {
  const places = [at(5, 5), at(5, 5), at(5, 5), at(80, 80)];
  const moved = apart(places, 100, 8, 4);
  expect(moved[3]).toEqual(at(80, 80));
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [moved[i], moved[j]];
      expect(Math.hypot((a?.x ?? 0) - (b?.x ?? 0), (a?.y ?? 0) - (b?.y ?? 0))).toBeGreaterThan(7);
    }
    expect(Math.min(moved[i]?.x ?? 0, moved[i]?.y ?? 0)).toBeGreaterThanOrEqual(4);
  }
  expect(places[0]).toEqual(at(5, 5));
});
