import { toBlob } from "./bytes";

export interface Painter {
  /**
   * Decodes and draws a picture. Resolves to true when it is on screen, to false when a later one was there first.
   * Until it is drawn the former picture stays; `before` is called right before. Rejects where the bytes are no picture.
   */
  paint(data: unknown, before?: () => void): Promise<boolean>;
  clear(): void;
}

type Decode = (blob: Blob) => Promise<ImageBitmap>;

/**
 * Draws pictures on a canvas in the order in which they came. The order of arrival counts, not the sender's numbers:
 * decoding may overtake, messages do not.
 */
export function createPainter(canvas: HTMLCanvasElement, decode: Decode = createImageBitmap): Painter {
  let arrived = 0;
  let drawn = 0;
  return {
    async paint(data, before) {
      const mine = ++arrived;
      const bitmap = await decode(toBlob(data));
      try {
        if (mine < drawn) return false;
        drawn = mine;
        before?.();
        // Setting the size wipes the canvas even if it is the same.
        if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
          canvas.width = bitmap.width;
          canvas.height = bitmap.height;
        }
        const context = canvas.getContext("2d");
        context?.clearRect(0, 0, bitmap.width, bitmap.height);
        context?.drawImage(bitmap, 0, 0);
        return true;
      } finally {
        bitmap.close();
      }
    },
    clear() {
      drawn = ++arrived;
      canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
    },
  };
}
