// An Explorer on a fake model in a made-up page: what the parts that panels share are looked at in, too.

import { act } from "preact/test-utils";
import { afterEach, vi } from "vitest";
import { FakeModel } from "../demo/fakeModel";
import { defaults, type Traits } from "../src/common/explorer/wire";
import type { Host } from "../src/common/model";
import type { TraceInfo } from "../src/common/wire";
import explorer from "../src/panels/explorer/main";
import { png, Screen, settle } from "./page.setup";

export const traits: Traits = {
  ...defaults,
  app: {
    title: "emblems",
    input: [64, 64],
    weights: 1_230_506,
    classes: ["ball", "dog", "sea"],
    version: "0.1",
  },
  samples: [
    { id: "a", title: "basketball", label: "ball", thumb: [0, 0] },
    { id: "b", title: "<img src=x onerror=alert(1)>", label: "<b>dog</b>", thumb: [0, 1] },
    { id: "c", title: "wave", label: "", thumb: [1, 0] },
  ],
  layers: [
    { name: "stem", kind: "conv", channels: 16 },
    { name: "layer1.0.conv1", kind: "conv", channels: 32 },
    { name: "layer1.0.conv2", kind: "conv", channels: 32 },
  ],
  presets: [
    { key: "last", title: "last block", description: "the last block and the head" },
    { key: "pattern", title: "by pattern", description: "" },
    { key: "plan", title: "plan file", description: "the layers and sparsities of a plan of yours" },
  ],
  solvers: ["fast", "refined", "exact"],
  estimates: { fast: 1.5, refined: 29, exact: 240 },
  sample_id: "a",
  sparsity: 0.9,
  neuron: "logit:ball",
  layer: "stem",
  preset: "last",
  solver: "fast",
  predictions: {
    sample_id: "a",
    rows: [
      { index: 0, name: "ball", dense: 0.9931, sparse: 0.041 },
      { index: 2, name: "sea <i>", dense: 0.004, sparse: null },
    ],
  },
  channels: {
    sample_id: "a",
    layer: "stem",
    total: 16,
    rows: [
      { channel: 3, activation: 2.5, map: png() },
      { channel: 7, activation: 1.25, map: png() },
    ],
  },
};

/** The thumbnails, as the traits that hold them. */
export const thumbs = { thumbs_0: [png(), png()], thumbs_1: [png()] };

export const trace: TraceInfo = {
  sample_id: "a",
  sparsity: 0.9,
  kept: 100,
  total: 1000,
  agrees: true,
  dense_class: "ball",
  sparse_class: "ball",
  kl: 0.08,
  seconds: 3.25,
  augmentations: 256,
  solver: "fast",
  sequential: false,
  fidelity: null,
  draft: "",
  dense_layers: 1,
  layers: [{ name: "stem", kept: 100, total: 1000, error: 0.1 }],
};

export interface Mounted {
  el: HTMLElement;
  model: FakeModel;
  /** Bitmaps drawn, by the byte that marks them. */
  drawn: number[];
  unmount(): Promise<void>;
  receive(name: keyof Traits, value: unknown): Promise<void>;
  frame(which: "dense" | "sparse", seq: number, data: unknown): Promise<void>;
  sent(type: string): Record<string, unknown>[];
}

export async function mount(changes: Partial<Traits> = {}, host?: Host, model?: FakeModel): Promise<Mounted> {
  const drawn: number[] = [];
  vi.stubGlobal("IntersectionObserver", Screen);
  vi.stubGlobal("createImageBitmap", async (blob: Blob) => {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (blob.type === "") throw new Error("no picture");
    return { width: 8, height: 8, mark: bytes[4], close: () => {} };
  });
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({
    clearRect: () => {},
    drawImage: (bitmap: { mark: number }) => drawn.push(bitmap.mark),
  } as unknown as RenderingContext);

  const shared = model ?? new FakeModel({ ...traits, ...thumbs, ...changes });
  const el = document.createElement("div");
  document.body.append(el);
  let unmount = () => {};
  await act(() => {
    unmount = explorer.render({ model: shared, el, ...(host ? { host } : {}) });
  });
  await settle();
  return {
    el,
    model: shared,
    drawn,
    async unmount() {
      await act(() => unmount());
      el.remove();
    },
    async receive(name, value) {
      await act(() => shared.receive(name, value));
      await settle();
    },
    async frame(which, seq, data) {
      await act(() =>
        shared.emit("msg:custom", { type: "frame", which, seq, step: seq, steps: 9, seconds: 1 }, [data]),
      );
      await settle();
    },
    sent: (type) => shared.sent.map(({ message }) => message).filter((message) => message.type === type),
  };
}

const shown: Mounted[] = [];

/** `mount`, and the end of it after the test. */
export async function show(...args: Parameters<typeof mount>): Promise<Mounted> {
  const panel = await mount(...args);
  shown.push(panel);
  return panel;
}

afterEach(async () => {
  for (const panel of shown.splice(0)) await panel.unmount();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
