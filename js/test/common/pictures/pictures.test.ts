// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import { show, trace, traits } from "../../explorer.setup";
import { find, png } from "../../page.setup";

test("every frame is acknowledged once: drawn, or no picture at all", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const panel = await show({
    dense: { ...traits.dense, neuron: "logit:ball", state: "rendering", steps: 9 },
  });
  await panel.frame("dense", 4, png(40));
  await panel.frame("dense", 5, new DataView(new ArrayBuffer(4)));
  await panel.frame("sparse", 1, png(41));
  expect(panel.drawn).toEqual([40, 41]);
  expect(panel.sent("ack")).toEqual([
    { type: "ack", which: "dense", seq: 4 },
    { type: "ack", which: "dense", seq: 5 },
    { type: "ack", which: "sparse", seq: 1 },
  ]);
});

test("a picture of an earlier selection says so until the first frame of the new one", async () => {
  const picture = {
    ...traits.dense,
    neuron: "logit:ball",
    state: "done",
    step: 9,
    steps: 9,
    activation: 3,
  } as const;
  const panel = await show({ dense: picture, dense_file: png(1) });
  const figure = find(panel.el, ".sw-picture.sw-dense");
  const label = () => find(figure, "canvas").getAttribute("aria-label");
  expect(panel.drawn).toEqual([1]);
  expect(figure.dataset.stale).toBe("false");
  expect(label()).toBe("What excites class ball in the dense model: done");
  await panel.receive("dense", { ...picture, neuron: "stem:3", state: "waiting", step: 0 });
  expect(figure.dataset.stale).toBe("true");
  await panel.receive("dense", { ...picture, neuron: "stem:3", state: "rendering", step: 1 });
  expect(figure.dataset.stale).toBe("true");
  await panel.frame("dense", 1, png(2));
  expect(figure.dataset.stale).toBe("false");
  expect(label()).toBe("What excites stem, channel 3 in the dense model: rendering, step 1 of 9");
});

const done = {
  ...traits.dense,
  neuron: "stem:3",
  state: "done",
  step: 9,
  steps: 9,
  activation: 0,
} as const;

test("a neuron that nothing excites is said to be dead", async () => {
  const panel = await show({ dense: { ...done, dead: true }, sparse: done });
  expect(find(panel.el, ".sw-dense .sw-caption-numbers").textContent).toContain("dead: nothing excites it");
  expect(find(panel.el, ".sw-sparse .sw-caption-numbers").textContent).toContain("activation 0.00");
});

test("a morph says where it comes from, until the picture itself is on screen", async () => {
  const morph = { source: "90.0 %", step: 12, augmentations: 256 };
  const rendering = { ...traits.sparse, neuron: "stem:3", state: "rendering", step: 3, steps: 9 } as const;
  const panel = await show({ sparse: { ...rendering, morph } });
  const caption = () => find(panel.el, ".sw-sparse .sw-caption-numbers").textContent;
  expect(caption()).toContain("morphing from 90.0 % · step 12");
  await panel.receive("sparse", { ...rendering, morph: { ...morph, source: "" } });
  expect(caption()).toContain("first look · step 12");
  await panel.receive("sparse", { ...rendering, morph: null });
  expect(caption()).toContain("step 3 of 9");
});

test("a trace's picture says itself what the trace says", async () => {
  const panel = await show({ dense: done, sparse: done, trace_summary: trace });
  const said = (which: string) => find(panel.el, `.sw-${which} .sw-says`);
  expect([said("dense").textContent, said("sparse").textContent]).toEqual(["says ‘ball’", "says ‘ball’ too"]);
  await panel.receive("trace_summary", { ...trace, agrees: false, sparse_class: "<b>sea</b>" });
  expect(said("sparse").textContent).toBe("says ‘<b>sea</b>’ here");
  expect(said("sparse").classList.contains("sw-disagrees")).toBe(true);
  expect(said("sparse").title).toContain("the dense network says ‘ball’");
  await panel.receive("sparsity", 0.5); // of which there is no trace yet: nothing old passes for it
  expect([said("dense").textContent, said("sparse").textContent]).toEqual(["\u00a0", "\u00a0"]);
});

test("where a trace has pruned all that reaches the neuron, a sentence stands for the noise", async () => {
  const panel = await show({ dense: done, sparse: { ...done, dead: true }, sparse_file: png(1) });
  expect(find(panel.el, ".sw-sparse .sw-pruned").textContent).toBe(
    "This trace has pruned everything that reaches the neuron: lower the sparsity or choose another.",
  );
  expect(find(panel.el, ".sw-sparse canvas").style.visibility).toBe("hidden");
  expect(find<HTMLButtonElement>(panel.el, ".sw-sparse figcaption button").disabled).toBe(true);
  await panel.receive("sparse", done);
  expect(panel.el.querySelector(".sw-pruned")).toBeNull();
  expect(find(panel.el, ".sw-sparse canvas").style.visibility).toBe("visible");
});
