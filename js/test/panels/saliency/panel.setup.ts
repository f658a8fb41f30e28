// A Saliency panel on a fake model in a made-up page. Canvases keep what was put on them, to be read back.

import { act } from "preact/test-utils";
import { vi } from "vitest";
import { FakeModel } from "../../../demo/fakeModel";
import type { Host } from "../../../src/common/model";
import saliency from "../../../src/panels/saliency/main";
import {
  type CellInfo,
  noCell,
  type SaliencyTraits,
  saliencyDefaults,
} from "../../../src/panels/saliency/wire";
import { traits as explorer } from "../../explorer.setup";
import { png, Screen, settle } from "../../page.setup";

/** float32 values as they come from a kernel: a view at an odd offset of a larger buffer. */
export function floats(values: readonly number[], offset = 5): DataView {
  const buffer = new ArrayBuffer(offset + values.length * 4 + 3);
  const view = new DataView(buffer, offset, values.length * 4);
  for (const [index, value] of values.entries()) view.setFloat32(index * 4, value, true);
  return view;
}

export const method = (key: string, title: string, signed: boolean, slow = false) => ({
  key,
  title,
  description: `What ${title} is.`,
  source: `Who wrote of ${title}.`,
  slow,
  signed,
});
const methods = [
  method("grad", "Gradient", false),
  method("lrp", "LRP", true),
  method("lime", "LIME", true, true),
];

export const cell = (changes: Partial<CellInfo> = {}): CellInfo => ({
  ...noCell,
  state: "done",
  done: 1,
  of: 1,
  seconds: 0.5,
  key: "k",
  ...changes,
});

/** A 2 × 3 input. */
export const traits: SaliencyTraits = {
  ...saliencyDefaults(methods),
  app: { ...explorer.app, input: [2, 3] },
  samples: explorer.samples,
  presets: explorer.presets,
  solvers: explorer.solvers,
  predictions: explorer.predictions,
  sample_id: "a",
  sparsity: 0.9,
  preset: "last",
  solver: "fast",
  all_methods: methods,
  methods: ["grad", "lrp"],
  image: { sample_id: "a", file: png(), mask: new Uint8Array([0, 1, 0, 0, 1, 0]) },
  cells: { "dense/grad": cell({ sum: 1 }), "sparse/grad": cell() },
  map_dense_grad: floats([0, 1, 2, 3, 4, 5]),
  map_sparse_grad: floats([0, 0.5, 0, 0, 0, 10]),
};

export interface Mounted {
  el: HTMLElement;
  model: FakeModel;
  unmount(): Promise<void>;
  receive(name: string, value: unknown): Promise<void>;
  sent(type: string): Record<string, unknown>[];
  /** The pixels last put on the canvas with this text alternative. */
  drawn(label: RegExp): number[] | null;
  /** The frame of a map, by the beginning of its name. */
  frame(label: string): HTMLElement;
}

export async function mount(
  changes: Partial<SaliencyTraits> = {},
  host?: Host,
  model?: FakeModel,
): Promise<Mounted> {
  const put = new WeakMap<HTMLCanvasElement, number[]>();
  vi.stubGlobal("IntersectionObserver", Screen);
  vi.stubGlobal("createImageBitmap", async () => ({ width: 3, height: 2, close: () => {} }));
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(function (
    this: HTMLCanvasElement,
  ): RenderingContext {
    const image = (width: number, height: number) => ({ data: new Uint8ClampedArray(width * height * 4) });
    return {
      clearRect: () => put.delete(this),
      drawImage: () => {},
      createImageData: image,
      // The sample is of one green.
      getImageData: (_x: number, _y: number, width: number, height: number) => {
        const picture = image(width, height);
        for (let at = 0; at < picture.data.length; at += 4) picture.data.set([0, 200, 0, 255], at);
        return picture;
      },
      putImageData: (picture: { data: Uint8ClampedArray }) => put.set(this, [...picture.data]),
    } as unknown as RenderingContext;
  });

  const shared = model ?? new FakeModel({ ...traits, ...changes });
  const el = document.createElement("div");
  document.body.append(el);
  let unmount = () => {};
  await act(() => {
    unmount = saliency.render({ model: shared, el, ...(host ? { host } : {}) });
  });
  await settle();
  const all = <E extends HTMLElement>(selector: string) => [...el.querySelectorAll<E>(selector)];
  return {
    el,
    model: shared,
    async unmount() {
      await act(() => unmount());
      el.remove();
    },
    async receive(name, value) {
      await act(() => shared.receive(name, value));
      await settle();
    },
    sent: (type) => shared.sent.map(({ message }) => message).filter((message) => message.type === type),
    drawn(label) {
      const canvas = all<HTMLCanvasElement>("canvas").find((one) =>
        label.test(one.ariaLabel ?? one.getAttribute("aria-label") ?? ""),
      );
      if (!canvas) throw new Error(`no canvas is ${label}`);
      return put.get(canvas) ?? null;
    },
    frame(label) {
      const found = all(".sw-map").find((one) => one.getAttribute("aria-label")?.startsWith(label));
      if (!found) throw new Error(`no map is ${label}`);
      return found;
    },
  };
}
