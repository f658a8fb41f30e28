// Plays Python's part for the Saliency panel, with made-up maps that come in one after the other.

import type { Traits } from "../src/common/explorer/wire";
import type { Which } from "../src/common/wire";
import {
  cellKey,
  type MethodInfo,
  mapTrait,
  networks,
  noCell,
  type SaliencyTraits,
  saliencyDefaults,
} from "../src/panels/saliency/wire";
import { FakeModel } from "./fakeModel";
import { png, sampleCanvas } from "./pictures";

const SIZE = 64;
const methods: MethodInfo[] = (
  [
    ["saliency", "Saliency", false, false],
    ["lrp", "LRP", false, true],
    ["gradcam", "GradCAM", false, false],
    ["integrated_gradients", "Integrated gradients", true, true],
    ["lime", "LIME", true, true],
    ["zero", "All zero", false, true],
    ["impossible", "Impossible", false, true],
  ] as const
).map(([key, title, slow, signed]) => ({
  key,
  title,
  slow,
  signed,
  description: `What ${title} says of a pixel, made up.`,
  source: "Nobody, 'Made up', 2026.",
}));

/** A blob of values around a place, with some of the other sign and some noise. */
function floats(method: MethodInfo, seed: number): DataView {
  const buffer = new ArrayBuffer(3 + SIZE * SIZE * 4);
  const view = new DataView(buffer, 3);
  if (method.key === "zero") return view;
  const sharp = method.key === "gradcam" ? 0.02 : 0.008;
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const blob = (y: number, x: number) => Math.exp(-sharp * ((row - y) ** 2 + (column - x) ** 2));
      const grain =
        method.key === "gradcam" ? 1 : 0.4 + 0.6 * Math.abs(Math.sin(row * 12.9 + column * 78.2 + seed));
      const value = (blob(40 - (seed % 9), 24) - (method.signed ? 0.5 * blob(16, 44) : 0)) * grain;
      view.setFloat32((row * SIZE + column) * 4, value * 0.02, true);
    }
  }
  return view;
}

function mask(): Uint8Array {
  return Uint8Array.from({ length: SIZE * SIZE }, (_, at) =>
    Math.hypot(Math.floor(at / SIZE) - 40, (at % SIZE) - 24) < 9 ? 1 : 0,
  );
}

/** Goes on from what the Explorer's made-up kernel has: samples, predictions, a trace. */
export async function startFakeSaliency(explorer: FakeModel, embedded: boolean): Promise<FakeModel> {
  const known = explorer.state as unknown as Traits;
  const state: SaliencyTraits = {
    ...saliencyDefaults(methods),
    ...{ app: known.app, samples: known.samples, presets: known.presets, solvers: known.solvers },
    ...{ predictions: known.predictions, trace_summary: known.trace_summary, solved: known.solved },
    ...{ sample_id: known.sample_id, sparsity: known.sparsity, preset: known.preset, solver: known.solver },
    code: known.code,
    embedded,
    all_methods: methods,
    methods: methods.map(({ key }) => key),
  };
  const model = new FakeModel({ ...state, thumbs_0: explorer.state.thumbs_0 });
  const now = () => model.state as unknown as SaliencyTraits;
  let timer: ReturnType<typeof setInterval> | undefined;

  const put = (network: Which, method: MethodInfo, done: number) => {
    const key = cellKey(network, method.key);
    const error = method.key === "impossible" ? "This method needs a layer that the demo does not have." : "";
    if (done === 1 && !error) {
      const seed = Math.round(now().sparsity * 100) * (network === "sparse" ? 1 : 0);
      model.receive(mapTrait(network, method.key), floats(method, seed));
    }
    model.receive("cells", {
      ...now().cells,
      [key]: {
        ...noCell,
        ...{
          state: error ? "error" : done === 1 ? "done" : "running",
          done,
          of: 1,
          seconds: 0.4,
          error,
          key,
        },
        metrics: {
          ...noCell.metrics,
          trojan_auc: done === 1 ? 0.93 : null,
          pointing_game: done === 1 ? 1 : null,
        },
      },
    });
  };
  const run = (wanted: readonly Which[]) => {
    clearInterval(timer);
    const order = methods.filter(({ key }) => now().methods.includes(key)).sort((a, b) => +a.slow - +b.slow);
    const todo = order.flatMap((method) => wanted.map((network) => ({ method, network, done: 0 })));
    for (const { network, method } of todo) {
      const key = cellKey(network, method.key);
      const former = now().cells[key];
      const next = former?.state === "done" || former?.state === "stale" ? "stale" : "waiting";
      model.receive("cells", { ...now().cells, [key]: { ...(former ?? noCell), state: next } });
    }
    timer = setInterval(() => {
      const [at] = todo;
      if (at) {
        at.done = Math.min(1, at.done + (at.method.slow ? 0.05 : 0.5));
        put(at.network, at.method, at.done);
        if (at.done === 1) todo.shift();
      } else clearInterval(timer);
      const status = { text: at ? "maps" : "done", done: null, of: null, seconds: 1 };
      model.receive("status", { ...status, state: at ? "working" : "idle" });
    }, 120);
  };
  model.onSave = (changes) => {
    if ("sample_id" in changes || "methods" in changes || "target" in changes) run(networks);
    else if ("sparsity" in changes || "solver" in changes || "preset" in changes) run(["sparse"]);
  };
  model.onSend = (message) => {
    if (message.type === "stop") clearInterval(timer);
    if (message.type === "resume") run(networks);
  };
  const canvas = sampleCanvas("🏀", 1, SIZE);
  model.receive("image", { sample_id: state.sample_id, file: await png(canvas), mask: mask() });
  run(networks);
  return model;
}
