// Plays Python's part, with made-up numbers: enough to use the panel outside of Jupyter.

import { defaults, type Selection, type Traits } from "../src/common/explorer/wire";
import type { Which } from "../src/common/wire";
import type { Bytes } from "../src/lib/bytes";
import { FakeModel } from "./fakeModel";
import { mapCanvas, png, sampleCanvas, visualization } from "./pictures";

const STEPS = 120;
const glyphs: [string, string, string][] = [
  ["🏀", "basketball", "ball"],
  ["🚗", "car", "vehicle"],
  ["🦋", "butterfly", "flyer"],
  ["🐶", "dog", "pet"],
  ["🚲", "bicycle", "vehicle"],
  ["🐟", "fish", "sea"],
  ["⚽", "football", "ball"],
  ["🍎", "apple", "food"],
  ["🏠", "house", "building"],
  ["🐱", "cat", "pet"],
  ["🚀", "rocket", "flyer"],
  ["🌲", "tree", "plant"],
  ["🍌", "banana, with a title far too long for the place it gets", "food"],
  ["🌷", "<b>tulip</b>", "plant"],
  ["🎸", "guitar", "music"],
  ["🎹", "piano", "music"],
];
const layerNames = [
  "stem",
  ...[1, 2, 3, 4].flatMap((stage) =>
    [0, 1].flatMap((block) => [1, 2].map((conv) => `layer${stage}.${block}.conv${conv}`)),
  ),
  "fc",
];

function hash(text: string): number {
  let value = 7;
  for (const letter of text) value = (Math.imul(value, 31) + letter.charCodeAt(0)) >>> 0;
  return value;
}

export interface Options {
  manyClasses?: boolean;
  empty?: boolean;
}

export async function startFakeKernel(options: Options = {}): Promise<FakeModel> {
  const names = [...new Set(glyphs.map(([, , label]) => label))];
  const classes = options.manyClasses
    ? Array.from({ length: 1000 }, (_, index) => names[index] ?? `class of things number ${index}`)
    : names;
  const canvases = new Map<string, OffscreenCanvas>();
  const thumbs: Bytes[] = [];
  const samples = await Promise.all(
    glyphs.map(async ([glyph, title, label], index) => {
      const canvas = sampleCanvas(glyph, index + 1);
      canvases.set(title, canvas);
      thumbs[index] = await png(canvas);
      return { id: title, title, label, thumb: [0, index] as [number, number] };
    }),
  );
  const state: Traits = {
    ...defaults,
    app: { title: "emblem classifier", input: [64, 64], weights: 1_230_506, classes, version: "0.1.0" },
    samples,
    layers: layerNames.map((name, index) => ({
      name,
      kind: name === "fc" ? "linear" : "conv",
      channels: name === "fc" ? classes.length : 32 * 2 ** Math.floor(index / 4.5),
    })),
    presets: [
      {
        key: "last",
        title: "last block and head",
        description: "layer4 and fc; the stem and all before stay as they are",
      },
      {
        key: "stem",
        title: "all but the stem",
        description: "every convolution and the head, without the first",
      },
      { key: "pattern", title: "by pattern", description: "" },
      { key: "plan", title: "plan file", description: "the layers and sparsities of a plan of yours" },
    ],
    solvers: ["auto", "fast", "exact", "refined"],
    estimates: { auto: 4, fast: 2, refined: 4, exact: 240 },
    sample_id: "basketball",
    sparsity: 0.91,
    neuron: "logit:ball",
    layer: "layer3.1.conv2",
    preset: "stem",
    solver: "refined",
    solved: [0, 0.5, 0.8, 0.9],
  };
  const model = new FakeModel({ ...state, thumbs_0: thumbs });
  const put = <K extends keyof Traits>(name: K, value: Traits[K]) => model.receive(name, value);
  const selection = () => model.state as unknown as Selection & Traits;

  const runs: Record<
    Which,
    { timer?: ReturnType<typeof setInterval>; step: number; seq: number; unacked: number }
  > = {
    dense: { step: 0, seq: 0, unacked: 0 },
    sparse: { step: 0, seq: 0, unacked: 0 },
  };

  async function channels() {
    const { layer, sample_id, layers } = selection();
    const total = layers.find((one) => one.name === layer)?.channels ?? 0;
    const canvas = canvases.get(sample_id) as OffscreenCanvas;
    const rows = await Promise.all(
      Array.from({ length: Math.min(24, total) }, async (_, rank) => {
        const seed = hash(`${layer}${sample_id}${rank}`);
        return {
          channel: (seed % 97) + 0 * rank,
          activation: 9.4 - rank * 0.31,
          map: await png(mapCanvas(canvas, seed)),
        };
      }),
    );
    const unique = rows.filter(
      (row, index) => rows.findIndex((other) => other.channel === row.channel) === index,
    );
    put("channels", { sample_id, layer, total, rows: unique });
  }

  function numbers() {
    const { sparsity, sample_id, solver } = selection();
    const label = samples.find((one) => one.id === sample_id)?.label ?? "";
    const agrees = sparsity < 0.9 || solver === "refined";
    const other = names.find((name) => name !== label) ?? "";
    const rows = [label, ...names.filter((name) => name !== label)].slice(0, 5).map((name, rank) => ({
      index: classes.indexOf(name),
      name,
      dense: [0.993, 0.004, 0.002, 0.001, 0.0][rank] ?? 0,
      sparse: agrees
        ? ([0.942, 0.03, 0.012, 0.01, 0.006][rank] ?? 0)
        : name === other
          ? 0.874
          : ([0.041, 0, 0.023, 0.041, 0.021][rank] ?? 0),
    }));
    put("predictions", { sample_id, rows });
    const layers = layerNames.slice(1).map((name, index) => {
      const total = 9 * 32 * 32 * 4 ** Math.floor(index / 4.5);
      const kept = Math.round(total * (1 - sparsity) * (name === "fc" ? 3 : 1));
      return {
        name,
        kept: Math.min(kept, total),
        total,
        error: sparsity ** 4 * (0.05 + (hash(name) % 30) / 100),
      };
    });
    put("trace_summary", {
      sample_id,
      sparsity,
      kept: layers.reduce((sum, one) => sum + one.kept, 0),
      total: layers.reduce((sum, one) => sum + one.total, 0),
      agrees,
      dense_class: label,
      sparse_class: agrees ? label : other,
      kl: agrees ? 0.08 : 3.12,
      seconds: 1.8,
      augmentations: 256,
      solver,
      sequential: selection().sequential,
      fidelity: selection().fidelity === null ? null : { asked: 0.9, reached: 0.94 },
      draft: "",
      dense_layers: 1,
      layers,
    });
    put("solved", [...new Set([...selection().solved, sparsity])].sort());
  }

  const idle = () => {
    const busy = runs.dense.timer !== undefined || runs.sparse.timer !== undefined;
    const { step } = runs.sparse;
    if (busy)
      put("status", {
        state: "working",
        text: "rendering",
        done: step,
        of: STEPS,
        seconds: step * 0.03,
        about: "",
      });
    else if (step > 0 && step < STEPS)
      put("status", { state: "stopped", text: "", done: step, of: STEPS, seconds: step * 0.03, about: "" });
    else put("status", { state: "idle", text: "", done: null, of: null, seconds: 3.6, about: "" });
  };

  async function frame(which: Which) {
    const run = runs[which];
    const { neuron, sparsity, sample_id } = selection();
    const seed = hash(which === "dense" ? neuron : neuron + sample_id + sparsity);
    run.step += 2;
    const picture = visualization(seed % 1000, which === "sparse", Math.min(1, run.step / STEPS + 0.1));
    const info = {
      neuron,
      steps: STEPS,
      step: run.step,
      seconds: run.step * 0.03,
      activation: 2 + run.step * 0.08,
      dead: false,
      morph: null,
    };
    idle();
    if (run.step >= STEPS) {
      clearInterval(run.timer);
      delete run.timer;
      put(which === "dense" ? "dense_file" : "sparse_file", await png(picture));
      put(which, { ...info, state: "done" });
      idle();
      return;
    }
    put(which, { ...info, state: "rendering" });
    if (run.unacked >= 2) return;
    run.unacked++;
    const data = await png(picture);
    model.emit("msg:custom", { type: "frame", which, seq: run.seq++, ...info }, [data]);
  }

  function render(which: Which, fromStart: boolean) {
    const run = runs[which];
    clearInterval(run.timer);
    if (fromStart) {
      run.step = 0;
      put(which, {
        neuron: selection().neuron,
        state: "waiting",
        step: 0,
        steps: STEPS,
        seconds: 0,
        activation: null,
        dead: false,
        morph: null,
      });
    }
    run.timer = setInterval(() => void frame(which), 60);
  }

  model.onSave = (changes) => {
    put("code", `explorer.sparsity = ${selection().sparsity}`);
    if ("sample_id" in changes || "layer" in changes) setTimeout(() => void channels(), 150);
    if (
      "sample_id" in changes ||
      "sparsity" in changes ||
      "solver" in changes ||
      "preset" in changes ||
      "fidelity" in changes ||
      "sequential" in changes
    )
      setTimeout(numbers, 250);
    if ("neuron" in changes) render("dense", true);
    if (
      ["neuron", "sparsity", "sample_id", "solver", "preset", "fidelity", "sequential"].some(
        (name) => name in changes,
      )
    )
      render("sparse", true);
  };
  model.onSend = (message, buffers) => {
    if (message.type === "ack") runs[message.which as Which].unacked--;
    if (message.type === "stop")
      for (const which of ["dense", "sparse"] as const) {
        const was = runs[which].timer !== undefined;
        clearInterval(runs[which].timer);
        delete runs[which].timer;
        if (was) put(which, { ...selection()[which], state: "stopped" });
        idle();
      }
    if (message.type === "resume")
      for (const which of ["dense", "sparse"] as const) if (runs[which].step < STEPS) render(which, false);
    if (message.type === "dismiss") put("error", "");
    if (message.type === "add")
      put(
        "error",
        `The demo has no kernel to read ${(message.files as { name: string }[])[0]?.name} (${(buffers[0] as Uint8Array).length} bytes).`,
      );
  };

  if (options.empty) return model;
  await channels();
  numbers();
  render("dense", true);
  render("sparse", true);
  put("code", "import spade_widgets as sw\nsw.Explorer()");
  return model;
}
