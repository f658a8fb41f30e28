import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";
import type { SaliencyMap, Scale } from "../../../lib/maps";
import { paintMap } from "../../../lib/paintMap";
import { useSaliency } from "../state";

/** Keeps a canvas up to date: a map (or none) over the sample, pixel for pixel. */
export function useMapCanvas(
  canvas: RefObject<HTMLCanvasElement | null>,
  map: SaliencyMap | null,
  scale: Scale,
): void {
  const panel = useSaliency();
  const [height, width] = panel.traits.app.value.input;
  const pixels = panel.pixels.value;
  const image = pixels?.length === height * width * 4 ? pixels : null;
  const { opacity } = panel.look.value;
  const { limit, signs, colours } = scale;

  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    if (!map && !image) {
      context.clearRect(0, 0, width, height);
      return;
    }
    const picture = context.createImageData(width, height);
    paintMap(picture.data, image, map, { limit, signs, colours }, opacity);
    context.putImageData(picture, 0, 0);
  }, [canvas, map, image, limit, signs, colours, opacity, height, width]);
}
