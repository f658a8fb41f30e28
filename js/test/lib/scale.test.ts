import { expect, test } from "vitest";
import {
  MAX_SPARSITY,
  nearestStop,
  parseSparsity,
  snap,
  snapPlace,
  spacedStops,
  stepKey,
  stepStops,
  toPlace,
  toSparsity,
} from "../../src/lib/scale";

test("place and sparsity are one another's inverse, and in order", () => {
  let before = -1;
  for (let percent = 0; percent <= 99; percent += 0.5) {
    const place = toPlace(percent / 100);
    expect(place).toBeGreaterThan(before);
    expect(toSparsity(place)).toBeCloseTo(percent / 100, 10);
    before = place;
  }
  expect(toPlace(0)).toBe(0);
  expect(toPlace(MAX_SPARSITY)).toBe(1);
  expect(toSparsity(2)).toBe(MAX_SPARSITY);
  expect(toSparsity(-1)).toBe(0);
});

test("the scale is finer near 1", () => {
  expect(toPlace(0.99) - toPlace(0.95)).toBeGreaterThan(4 * (toPlace(0.04) - toPlace(0)));
});

test("a dragged handle rests on whole percents, on halves from 90 on", () => {
  expect(snap(0.4567)).toBe(0.46);
  expect(snap(0.9432)).toBe(0.945);
  expect(snap(0.9999)).toBe(MAX_SPARSITY);
});

test("a handle near a solved sparsity takes it", () => {
  const at = toPlace(0.873);
  expect(snapPlace(at + 0.002, [0.873], 0.01)).toBe(0.873);
  expect(snapPlace(at + 0.05, [0.873], 0.01)).not.toBe(0.873);
});

test("keys go up and come down the same way, and stay in range", () => {
  const up: number[] = [0.87];
  for (let press = 0; press < 10; press++) up.push(stepKey(up.at(-1) as number, "ArrowRight") as number);
  expect(up).toEqual([0.87, 0.88, 0.89, 0.9, 0.905, 0.91, 0.915, 0.92, 0.925, 0.93, 0.935]);
  const down = [up.at(-1) as number];
  for (let press = 0; press < 10; press++) down.push(stepKey(down.at(-1) as number, "ArrowLeft") as number);
  expect(down).toEqual(up.reverse());
  expect(stepKey(0, "ArrowDown")).toBe(0);
  expect(stepKey(0.95, "PageUp")).toBe(MAX_SPARSITY);
  expect(stepKey(0.5, "Home")).toBe(0);
  expect(stepKey(0.5, "End")).toBe(MAX_SPARSITY);
  expect(stepKey(0.5, "a")).toBeNull();
});

test("what may be typed", () => {
  expect(parseSparsity("91")).toBe(0.91);
  expect(parseSparsity(" 91.5 % ")).toBe(0.915);
  expect(parseSparsity("91,5")).toBe(0.915);
  expect(parseSparsity("0.915")).toBe(0.915);
  expect(parseSparsity("0.5 %")).toBe(0.005);
  expect(parseSparsity("1")).toBe(0.01);
  expect(parseSparsity("0")).toBe(0);
  expect(parseSparsity("99")).toBe(MAX_SPARSITY);
  for (const wrong of ["100", "99.5", "-1", "", "ninety", "1e1", "NaN", "9 1"])
    expect(parseSparsity(wrong)).toBeNull();
});

test("where only a few sparsities are there, the slider rests on them alone", () => {
  const stops = [0.5, 0.8, 0.9, 0.95];
  expect([0, 0.64, 0.66, 0.92, 0.99].map((value) => nearestStop(value, stops))).toEqual([
    0.5, 0.5, 0.8, 0.9, 0.95,
  ]);
  expect(["ArrowRight", "ArrowLeft", "Home", "End", "a"].map((key) => stepStops(0.8, key, stops))).toEqual([
    0.9,
    0.5,
    0.5,
    0.95,
    null,
  ]);
  expect(stepStops(0.95, "PageUp", stops)).toBe(0.95);
  expect(stepStops(0.5, "ArrowDown", stops)).toBe(0.5);
});

test("sparsities that are written under the slider keep apart", () => {
  expect(spacedStops([0, 0.5, 0.51, 0.52, 0.9])).toEqual([0, 0.5, 0.9]);
  expect(spacedStops([])).toEqual([]);
});
