// What one view of the Saliency panel knows beyond the model.

import { batch, computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { remembered } from "../../common/memory";
import type { PanelState } from "../../common/state";
import { isEmpty, toBlob } from "../../lib/bytes";
import { outlinePath } from "../../lib/outline";
import type { Look, MethodInfo, SaliencyMessage, SaliencyTraits } from "./wire";

/** A pixel of the sample. */
export interface Spot {
  row: number;
  column: number;
}

export interface SaliencyState extends PanelState<SaliencyTraits, SaliencyMessage> {
  /** How maps are drawn: what the model says, and over it what a hand is changing just now. */
  look: ReadonlySignal<Look>;
  heldLook: Signal<Partial<Look>>;
  /** The sample's RGBA bytes; null while they are not there. */
  pixels: ReadonlySignal<Uint8ClampedArray | null>;
  /** The mask's border as an SVG path; "" where no mask is known. */
  outline: ReadonlySignal<string>;
  /** The chosen methods, in their order. */
  columns: ReadonlySignal<MethodInfo[]>;
  /** The class whose maps these are; null while nothing is predicted. */
  target: ReadonlySignal<number | null>;
  /** The pixel under the crosshair, in all maps at once; a pinned one stays when the pointer leaves. */
  spot: Signal<Spot | null>;
  pinned: Signal<boolean>;
  /** Whether the curves are to be seen. */
  curvesOpen: Signal<boolean>;
  /** Whether this view has asked for a file and waits for it. */
  exporting: Signal<boolean>;
}

async function decode(file: unknown): Promise<Uint8ClampedArray> {
  const bitmap = await createImageBitmap(toBlob(file));
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}

/** The view's state, and what ends it. */
export function saliencyState(
  base: PanelState<SaliencyTraits, SaliencyMessage>,
): [SaliencyState, () => void] {
  const { traits } = base;
  const heldLook = signal<Partial<Look>>({});
  const pixels = signal<Uint8ClampedArray | null>(null);
  const spot = signal<Spot | null>(null);
  const pinned = signal(false);

  let newest = 0;
  const endDecoding = effect(() => {
    const mine = ++newest;
    const { sample_id, file } = traits.image.value;
    // Another sample's image under these maps would be a lie.
    if (isEmpty(file) || sample_id !== traits.sample_id.value) {
      pixels.value = null;
      return;
    }
    decode(file)
      .then((data) => {
        if (mine === newest) pixels.value = data;
      })
      .catch((reason: unknown) => console.warn("the sample could not be drawn", reason));
  });
  const endPinning = effect(() => {
    // A pinned pixel is one of this sample.
    traits.sample_id.value;
    batch(() => {
      spot.value = null;
      pinned.value = false;
    });
  });

  const state: SaliencyState = {
    ...base,
    heldLook,
    look: computed(() => {
      const { opacity, colormap, signed, clip, scale, outline } = traits;
      return {
        opacity: opacity.value,
        colormap: colormap.value,
        signed: signed.value,
        clip: clip.value,
        scale: scale.value,
        outline: outline.value,
        ...heldLook.value,
      };
    }),
    pixels,
    outline: computed(() => {
      const { sample_id, mask } = traits.image.value;
      const [height, width] = traits.app.value.input;
      return sample_id === traits.sample_id.value ? outlinePath(mask, height, width) : "";
    }),
    columns: computed(() => {
      const all = new Map(traits.all_methods.value.map((method) => [method.key, method]));
      return traits.methods.value.flatMap((key) => all.get(key) ?? []);
    }),
    target: computed(() => {
      const { sample_id, rows } = traits.predictions.value;
      if (traits.target.value >= 0) return traits.target.value;
      return sample_id === traits.sample_id.value ? (rows[0]?.index ?? null) : null;
    }),
    spot,
    pinned,
    curvesOpen: remembered(base.memory, "curves", false),
    exporting: signal(false),
  };
  return [
    state,
    () => {
      newest = -1;
      endDecoding();
      endPinning();
    },
  ];
}

export const SaliencyContext = createContext<SaliencyState | null>(null);

export function useSaliency(): SaliencyState {
  const state = useContext(SaliencyContext);
  if (!state) throw new Error("a component of the Saliency panel is used outside of it");
  return state;
}
