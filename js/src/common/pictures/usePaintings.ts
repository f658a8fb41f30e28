import { batch, effect, type ReadonlySignal, type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { type Bytes, isEmpty } from "../../lib/bytes";
import { leaveGhost } from "../../lib/ghost";
import { createPainter } from "../../lib/painter";
import type { Picture } from "../explorer/wire";

/** What is known of a picture: how far it is, and the file of what is there. */
export interface Painted {
  picture: ReadonlySignal<Picture>;
  file: ReadonlySignal<Bytes>;
}

/** Of a panel: whence frames come, and where it is said that they came. */
interface Frames<W extends string> {
  connection: { onMessage(callback: (message: unknown, buffers: readonly unknown[]) => void): () => void };
  send(message: { type: "ack"; which: W; seq: number }): void;
}

interface Paintings {
  /** Nothing was drawn yet. */
  blank: Signal<boolean>;
  /** What is on screen belongs to an earlier selection. */
  stale: Signal<boolean>;
}

function isFrame(message: unknown): message is { which: string; seq: number } {
  return typeof message === "object" && message !== null && (message as { type?: unknown }).type === "frame";
}

/**
 * Keeps a canvas up to date: with the frames while the picture is rendered, with the finished file otherwise. Each frame is
 * acknowledged once it is drawn, or passed over for a later one: Python sends no more than the page can draw.
 */
export function usePaintings<W extends string>(
  panel: Frames<W>,
  which: W,
  { picture, file }: Painted,
  canvas: RefObject<HTMLCanvasElement | null>,
): Paintings {
  const blank = useSignal(true);
  const stale = useSignal(false);

  useEffect(() => {
    const target = canvas.current;
    if (!target) return;
    const painter = createPainter(target);
    let closed = false;

    // A picture that takes another one's place comes up slowly; one that goes on from it does not.
    let another = false;
    const before = () => {
      const { state, morph } = picture.peek();
      if (another && !blank.peek() && !(state === "rendering" && morph)) leaveGhost(target);
      another = false;
    };

    const stopFrames = panel.connection.onMessage((message, buffers) => {
      if (!isFrame(message) || message.which !== which) return;
      painter
        .paint(buffers[0], before)
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
      const data = file.value;
      if (isEmpty(data)) return;
      painter
        .paint(data, before)
        .then((drawn) => {
          if (drawn && !closed) blank.value = false;
        })
        .catch((reason: unknown) => console.warn("a picture could not be drawn", reason));
    });

    let { neuron, morph } = picture.peek();
    // A view that comes late sees the file of before until the next frame.
    stale.value = picture.peek().state === "rendering";
    const stopState = effect(() => {
      const now = picture.value;
      if (now.state === "empty") {
        painter.clear();
        blank.value = true;
      } else if (now.state === "done" || now.state === "stopped") stale.value = false;
      else if (now.state === "waiting" || now.neuron !== neuron) stale.value = true;
      if (now.state === "waiting" || (morph && !now.morph)) another = true;
      ({ neuron, morph } = now);
    });

    return () => {
      closed = true;
      stopFrames();
      stopPng();
      stopState();
    };
  }, [panel, which, picture, file, canvas, blank, stale]);

  return { blank, stale };
}
