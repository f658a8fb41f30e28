import { defaults, type Picture, type Traits } from "../../common/explorer/wire";
import type { AnyModel } from "../../common/model";
import { nearestStop } from "../../lib/scale";
import type { Images, RecordedTrace, Recording, Shot } from "./recording";

type Callback = (...args: unknown[]) => void;

/** What is on screen, as places in the recording. */
interface Place {
  sample: number;
  neuron: number;
  sparsity: number;
}

/** Takes a kernel's place: the traits of every selection are looked up in what was recorded. */
export class RecordedModel implements AnyModel {
  readonly #recording: Recording;
  readonly #image: Images;
  readonly #listeners = new Map<string, Set<Callback>>();
  #place: Place;
  #state: Traits;

  constructor(recording: Recording, image: Images) {
    this.#recording = recording;
    this.#image = image;
    this.#place = recording.start;
    const { app, sparsities, samples } = recording;
    this.#state = {
      ...defaults,
      app,
      image: recording.image ?? defaults.image,
      solved: sparsities,
      samples: samples.map(({ id, title, label }, at) => ({ id, title, label, thumb: [0, at] })),
      ...this.#selected(),
    };
  }

  get(name: string): unknown {
    if (name === "thumbs_0") return this.#recording.samples.map(({ thumb }) => this.#image(thumb));
    return this.#state[name as keyof Traits];
  }

  /** A selection that was recorded is on screen at once; of the sparsities the nearest is taken. */
  set(name: string, value: unknown): void {
    const { samples, neurons, sparsities } = this.#recording;
    const found: Record<string, () => Partial<Place>> = {
      sample_id: () => ({ sample: samples.findIndex((sample) => sample.id === value) }),
      neuron: () => ({ neuron: neurons.indexOf(value as string) }),
      sparsity: () => ({ sparsity: sparsities.indexOf(nearestStop(value as number, sparsities)) }),
    };
    const next = { ...this.#place, ...found[name]?.() };
    if (Math.min(next.sample, next.neuron, next.sparsity) < 0) return;
    this.#place = next;
    const before = this.#state;
    this.#state = { ...before, ...this.#selected() };
    for (const trait of Object.keys(before) as (keyof Traits)[]) {
      if (before[trait] !== this.#state[trait]) this.#tell(`change:${trait}`);
    }
  }

  save_changes(): void {}

  /** Nobody is there to hear it. */
  send(): void {}

  on(name: string, callback: Callback): void {
    const known = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, known.add(callback));
  }

  off(name: string, callback: Callback): void {
    this.#listeners.get(name)?.delete(callback);
  }

  #tell(name: string): void {
    for (const callback of [...(this.#listeners.get(name) ?? [])]) callback();
  }

  #selected(): Partial<Traits> {
    const { samples, neurons, sparsities, dense } = this.#recording;
    const sample = samples[this.#place.sample];
    const trace = sample?.traces[this.#place.sparsity] as RecordedTrace;
    const neuron = neurons[this.#place.neuron] ?? "";
    const shots = [(sample?.dense ?? dense)[this.#place.neuron], trace.pictures[this.#place.neuron]] as [
      Shot,
      Shot,
    ];
    return {
      sample_id: sample?.id ?? "",
      sparsity: sparsities[this.#place.sparsity] ?? 0,
      neuron,
      predictions: { sample_id: sample?.id ?? "", rows: trace.rows },
      trace_summary: trace.facts,
      sequential: trace.facts.sequential,
      dense: picture(neuron, shots[0]),
      sparse: picture(neuron, shots[1]),
      dense_file: this.#image(shots[0].image),
      sparse_file: this.#image(shots[1].image),
    };
  }
}

function picture(neuron: string, { steps, seconds, activation, dead }: Shot): Picture {
  return { neuron, state: "done", step: steps, steps, seconds, activation, dead, morph: null };
}
