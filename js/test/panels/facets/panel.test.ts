// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../../demo/fakeModel";
import facets from "../../../src/panels/facets/main";
import { grouped } from "../../../src/panels/facets/plot/Plot";
import { inOrder } from "../../../src/panels/facets/survey/SurveyList";
import { type FacetTraits, facetDefaults, type Point } from "../../../src/panels/facets/wire";
import { traits as explorer } from "../../explorer.setup";
import { find, png, press, Screen, settle } from "../../page.setup";

const point = (id: string, facet: number, x: number, y: number): Point => ({
  id,
  title: `photo ${id}`,
  value: 3 + x,
  crop: png(),
  x,
  y,
  facet,
});
const picture = {
  neuron: "layer4:1",
  state: "done" as const,
  step: 9,
  steps: 9,
  seconds: 1,
  activation: 2,
  dead: false,
  morph: null,
};
const traits: FacetTraits = {
  ...facetDefaults,
  app: explorer.app,
  samples: explorer.samples,
  presets: explorer.presets,
  solvers: explorer.solvers,
  layers: explorer.layers,
  sample_id: "c",
  neuron: "layer4:1",
  layer: "layer4",
  summary: {
    neuron: "layer4:1",
    sentence: "2 facets: they are clearer than chance.",
    seen: 40,
    own: false,
    facets: [
      { members: [0, 2, 3], share: 0.6 },
      { members: [1, 4], share: 0.4 },
    ],
  },
  examples: [
    point("a", 0, 0, 0),
    point("b", 1, 4, 0),
    point("c", 0, 0, 1),
    point("d", 0, 1, 0),
    point("e", 1, 4, 1),
  ],
  pictures: [picture, picture, { ...picture, state: "rendering", step: 3 }],
  trace_rows: [
    { kept: 10, total: 100, solver: "fast", augmentations: 8, keeps_own: 0.9, keeps_others: -0.05 },
    null,
  ],
};

const mounted: (() => void)[] = [];
async function show(changes: Partial<FacetTraits> = {}) {
  vi.stubGlobal("IntersectionObserver", Screen);
  vi.stubGlobal("createImageBitmap", async () => ({ width: 3, height: 2, close: () => {} }));
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  const model = new FakeModel({ ...traits, ...changes });
  const el = document.createElement("div");
  document.body.append(el);
  let unmount = () => {};
  await act(() => {
    unmount = facets.render({ model, el });
  });
  await settle();
  mounted.push(() => {
    unmount();
    el.remove();
  });
  const sent = (type: string) => model.sent.map(({ message }) => message).filter((one) => one.type === type);
  const points = () => [...el.querySelectorAll<HTMLElement>(".sw-point")];
  const button = (name: string) => {
    const found = [...el.querySelectorAll<HTMLButtonElement>("button")].find((one) =>
      one.textContent?.startsWith(name),
    );
    if (!found) throw new Error(`no button is ${name}`);
    return found;
  };
  return { el, model, sent, points, button };
}
const texts = (el: HTMLElement, selector: string) =>
  [...el.querySelectorAll(selector)].map((one) => one.textContent);

afterEach(async () => {
  for (const end of mounted.splice(0)) await act(() => end());
  vi.unstubAllGlobals();
});

test("a row a facet: its examples, its share, and what its trace keeps", async () => {
  const { el } = await show();
  expect(texts(el, ".sw-facet-head h4")).toEqual(["Facet 1", "Facet 2"]);
  expect(texts(el, ".sw-facet-share")).toEqual(["3 of 5 examples", "2 of 5 examples"]);
  expect([...el.querySelectorAll(".sw-facet .sw-examples")].map((row) => row.children.length)).toEqual([
    3, 2,
  ]);
  expect(find(el, ".sw-facet-trace").textContent).toBe(
    "keeps 10 of 100 weightskeeps 90 % of its own examples’ activation, \u22125 % of the others’",
  );
  expect(find(el, ".sw-sure").textContent).toBe("2 facets: they are clearer than chance.");
  expect(el.querySelectorAll(".sw-facet-picture")).toHaveLength(3);
});

test("a panel of which Python has said nothing yet stands, empty", async () => {
  const { el } = await show({ ...facetDefaults });
  expect(find(el, ".sw-plot").textContent).toBe("no examples yet");
  expect(el.querySelectorAll(".sw-facet-picture")).toHaveLength(1);
});

test("a click on an example, in its row or in the plot, asks for it as the sample", async () => {
  const { el, sent, points } = await show();
  await act(() => points()[4]?.click());
  await act(() => find(el, ".sw-example").click());
  expect(sent("example").map(({ id }) => id)).toEqual(["e", "a"]);
  expect(points().map((one) => one.getAttribute("aria-current"))).toEqual([null, null, "true", null, null]);
});

test("by keys: arrows move, Space selects, and several become a facet", async () => {
  const { model, points, button, sent } = await show();
  expect(points().filter((one) => one.tabIndex === 0)).toHaveLength(1);
  await act(() => points()[0]?.focus());
  await act(() => press(points()[0] as HTMLElement, " "));
  await act(() => press(points()[0] as HTMLElement, "ArrowRight"));
  expect(document.activeElement).toBe(points()[3]);
  await act(() => press(points()[3] as HTMLElement, " "));
  expect(points().map((one) => one.getAttribute("aria-selected"))).toEqual([
    "true",
    "false",
    "false",
    "true",
    "false",
  ]);
  await act(() => button("Make a facet of 2").click());
  expect(model.get("groups")).toEqual([["a", "d"]]);
  expect(button("Make a facet").disabled).toBe(true);
  await act(() => button("Reset").click());
  expect(sent("reset")).toHaveLength(1);
});

test("what is looked at shows its crop", async () => {
  const { el, points } = await show();
  await act(() => points()[1]?.focus());
  expect(find(el, ".sw-look").textContent).toContain("photo b");
  expect(find(el, ".sw-look img")).toBeTruthy();
});

test("a second facet of one's own takes its examples out of the first", () => {
  expect(grouped([["a", "b"], ["c"]], new Set(["b", "c", "d"]))).toEqual([["a"], ["b", "c", "d"]]);
  expect(grouped([], new Set(["a"]))).toEqual([["a"]]);
});

test("the neurons of a layer are sorted by any column, and one is chosen", async () => {
  const rows: [number, number, number, number, number][] = [
    [3, 1, -0.1, 1, 40],
    [5, 2, 0.2, 0.9, 64],
    [1, 3, 0.1, 0.7, 30],
  ];
  expect(inOrder(rows, 2, true).map(([channel]) => channel)).toEqual([5, 1, 3]);
  expect(inOrder(rows, 0, false).map(([channel]) => channel)).toEqual([1, 3, 5]);
  const survey = { layer: "layer4", state: "done" as const, done: 8, of: 8, left: null, rows };
  const { el, model } = await show({ survey, listing: true });
  expect(texts(el, ".sw-survey tbody .sw-class")).toEqual(["5", "1", "3"]);
  expect(find(el, ".sw-survey .sw-secondary").textContent).toBe("layer4 · 2 of 3 have several");
  await act(() => find(el, ".sw-survey tbody .sw-class").click());
  expect(model.get("neuron")).toBe("layer4:5");
  await act(() => (el.querySelectorAll(".sw-sort")[1] as HTMLElement).click());
  expect(texts(el, ".sw-survey tbody .sw-class")).toEqual(["1", "5", "3"]);
});
