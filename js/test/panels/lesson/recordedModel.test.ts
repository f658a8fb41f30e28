// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { defaults, type Traits } from "../../../src/common/explorer/wire";
import { connect } from "../../../src/common/model";
import type { TraceInfo } from "../../../src/common/wire";
import { RecordedModel } from "../../../src/panels/lesson/recordedModel";
import {
  imagesOf,
  type RecordedSample,
  type Recording,
  type Shot,
} from "../../../src/panels/lesson/recording";
import { traits } from "../../explorer.setup";

const sparsities = [0.5, 0.9];
const neurons = ["logit:ball", "layer1.0.conv1:3"];
const shot = (image: number): Shot => ({ image, steps: 9, seconds: 1, activation: image, dead: false });

function sample(id: string, first: number): RecordedSample {
  return {
    ...{ id, title: `sample ${id}`, label: "", thumb: 0, excitements: [null, { image: 1, activation: 2 }] },
    traces: sparsities.map((sparsity, at) => ({
      facts: { sample_id: id, sparsity, sequential: true } as TraceInfo,
      rows: [{ index: 0, name: "ball", dense: 0.9, sparse: sparsity }],
      pictures: neurons.map((_, neuron) => shot(first + 2 * at + neuron)),
    })),
  };
}

const recording: Recording = {
  title: "A lesson",
  notes: [],
  app: traits.app,
  neurons,
  sparsities,
  start: { sample: 1, neuron: 0, sparsity: 1 },
  dense: [shot(2), shot(3)],
  samples: [sample("a", 4), sample("b", 8)],
  images: Array.from({ length: 12 }, (_, number) => btoa(`image ${number}`)),
};

const opened = () => {
  const model = new RecordedModel(recording, imagesOf(recording));
  return { model, ...connect<Traits>(model, defaults) };
};
const text = (data: unknown) => new TextDecoder().decode(data as Uint8Array);

test("a lesson begins where it was recorded", () => {
  const { traits: shown } = opened();
  expect([shown.sample_id.value, shown.neuron.value, shown.sparsity.value]).toEqual(["b", "logit:ball", 0.9]);
  expect(shown.solved.value).toEqual(sparsities);
  expect(text(shown.dense_file.value)).toBe("image 2");
  expect(text(shown.sparse_file.value)).toBe("image 10");
  expect(shown.dense.value).toMatchObject({ state: "done", step: 9, steps: 9, activation: 2 });
});

test("where each sample has dense pictures of its own, they go with the sample", () => {
  const own = recording.samples.map((each, at) => ({ ...each, dense: [shot(at), shot(at + 2)] }));
  const begun = { ...recording, image: "sample", dense: [], samples: own };
  const model = new RecordedModel(begun, imagesOf(begun));
  const { traits: shown } = connect<Traits>(model, defaults);
  expect(shown.image.value).toBe("sample");
  expect(text(shown.dense_file.value)).toBe("image 1");
  model.set("sample_id", "a");
  expect(text(shown.dense_file.value)).toBe("image 0");
  expect(opened().traits.image.value).toBe("fourier");
});

test("the samples' thumbnails are found where their rows say", () => {
  const { traits: shown, numbered } = opened();
  expect(shown.samples.value.map(({ thumb }) => thumb)).toEqual([
    [0, 0],
    [0, 1],
  ]);
  expect((numbered("thumbs", 0).value as unknown[]).map(text)).toEqual(["image 0", "image 0"]);
});

test("every selection shows its own record", () => {
  const { traits: shown, set } = opened();
  for (const [place, id] of ["a", "b"].entries()) {
    set("sample_id", id);
    for (const [at, sparsity] of sparsities.entries()) {
      set("sparsity", sparsity);
      for (const [number, neuron] of neurons.entries()) {
        set("neuron", neuron);
        expect(text(shown.sparse_file.value)).toBe(`image ${4 + 4 * place + 2 * at + number}`);
        expect(text(shown.dense_file.value)).toBe(`image ${2 + number}`);
        expect(shown.sparse.value.neuron).toBe(neuron);
        expect(shown.trace_summary.value).toMatchObject({ sample_id: id, sparsity });
        expect(shown.predictions.value).toMatchObject({ sample_id: id, rows: [{ sparse: sparsity }] });
      }
    }
  }
});

test("what was not recorded cannot be selected, and the nearest sparsity is", () => {
  const { traits: shown, set, send } = opened();
  set("sample_id", "c");
  set("neuron", "logit:dog");
  set("sparsity", 0.6);
  send({ type: "stop" });
  expect([shown.sample_id.value, shown.neuron.value, shown.sparsity.value]).toEqual(["b", "logit:ball", 0.5]);
});

test("a view that is gone hears nothing more", () => {
  const { model, traits: shown, dispose } = opened();
  dispose();
  model.set("sample_id", "a");
  expect(shown.sample_id.value).toBe("b");
});
