import { expect, test } from "vitest";
import { sampleNames } from "../../src/lib/sampleNames";

const names = (...samples: [string, string][]) => [
  ...sampleNames(samples.map(([title, label], i) => ({ id: String(i), title, label }))).values(),
];

test("a sample is called by its label, or by its title where it has none", () => {
  expect(names(["n01440764_10026", "tench"], ["mine", ""])).toEqual(["tench", "mine"]);
});

test("samples of one label are told apart by their titles", () => {
  expect(names(["dog", "pet"], ["cat", "pet"], ["rose", "plant"])).toEqual(["dog", "cat", "plant"]);
});

test("what has the same title, too, is numbered, also across labels and titles", () => {
  expect(names(["a", "x"], ["a", "x"], ["a", ""], ["b", "y"])).toEqual(["a (1)", "a (2)", "a (3)", "y"]);
});
