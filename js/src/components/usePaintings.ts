import { batch, effect, type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import type { ExplorerState } from "../explorerState";
import { isEmpty } from "../lib/bytes";
import { createPainter } from "../lib/painter";
import type { FrameMessage, Which } from "../wire";

interface Paintings {
  /** Nothing was drawn yet. */
  blank: Signal<boolean>;
  /** What is on screen belongs to an earlier selection. */
  stale: Signal<boolean>;
}

function isFrame(message: unknown): message is FrameMessage {
  return typeof message === "object" && message !== null && (message as { type?: unknown }).type === "frame";
}

/**
 * Keeps a canvas up to date: with the frames while the picture is rendered, with the PNG otherwise. Each frame is
 * acknowledged once it is drawn, or passed over for a later one: Python sends no more than the page can draw.
 */
export function usePaintings(
  panel: ExplorerState,
  which: Which,
  canvas: RefObject<HTMLCanvasElement | null>,
): Paintings {
  const blank = useSignal(true);
  const stale = useSignal(false);

  useEffect(() => {
    if (!canvas.current) return;
    const painter = createPainter(canvas.current);
    const picture = panel.traits[which];
    const png = which === "dense" ? panel.traits.dense_png : panel.traits.sparse_png;
    let closed = false;

    const stopFrames = panel.connection.onMessage((message, buffers) => {
      if (!isFrame(message) || message.which !== which) return;
      painter
        .paint(buffers[0])
        .then((drawn) => {
          if (!drawn || closed) return;
          batch(() => {
            blank.value = false;
            if (picture.peek().state !== "waiting") stale.value = false;
          });
        })
        .catch((reason: unknown) => console.warn("a frame could not be drawn", reason))
        .finally(() => {
          if (!closed) panel.send({ type: "ack", which, seq: message.seq });
        });
    });

    const stopPng = effect(() => {
      const data = png.value;
      if (isEmpty(data)) return;
      painter
        .paint(data)
        .then((drawn) => {
          if (drawn && !closed) blank.value = false;
        })
        .catch((reason: unknown) => console.warn("a picture could not be drawn", reason));
    });

    let neuron = picture.peek().neuron;
    // A view that comes late sees the PNG of before until the next frame.
    stale.value = picture.peek().state === "rendering";
    const stopState = effect(() => {
      const now = picture.value;
      if (now.state === "empty") {
        painter.clear();
        blank.value = true;
      } else if (now.state === "done" || now.state === "stopped") stale.value = false;
      else if (now.state === "waiting" || now.neuron !== neuron) stale.value = true;
      neuron = now.neuron;
    });

    return () => {
      closed = true;
      stopFrames();
      stopPng();
      stopState();
    };
  }, [panel, which, canvas, blank, stale]);

  return { blank, stale };
}
