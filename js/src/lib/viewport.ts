// Which part of a picture is on screen. Both pictures share one, so that they pan and zoom together.

export interface Viewport {
  scale: number;
  /** The picture's point in the middle of the screen, as shares of its width and height. */
  x: number;
  y: number;
}

export const MAX_SCALE = 16;
export const whole: Viewport = { scale: 1, x: 0.5, y: 0.5 };

function clamp({ scale, x, y }: Viewport): Viewport {
  const kept = Math.min(MAX_SCALE, Math.max(1, scale));
  const half = 0.5 / kept;
  const inside = (value: number) => Math.min(1 - half, Math.max(half, value));
  return { scale: kept, x: inside(x), y: inside(y) };
}

/** Zooms by `factor` and keeps the picture's point under the pointer (shares of the frame) where it is. */
export function zoom(view: Viewport, factor: number, atX = 0.5, atY = 0.5): Viewport {
  const scale = Math.min(MAX_SCALE, Math.max(1, view.scale * factor));
  const x = view.x + (atX - 0.5) / view.scale - (atX - 0.5) / scale;
  const y = view.y + (atY - 0.5) / view.scale - (atY - 0.5) / scale;
  return clamp({ scale, x, y });
}

/** Moves the picture by shares of the frame. */
export function pan(view: Viewport, byX: number, byY: number): Viewport {
  return clamp({ scale: view.scale, x: view.x - byX / view.scale, y: view.y - byY / view.scale });
}

export function transform({ scale, x, y }: Viewport): string {
  const shift = (centre: number) => `${((0.5 - centre) * scale * 100).toFixed(3)}%`;
  return scale === 1 ? "none" : `translate(${shift(x)}, ${shift(y)}) scale(${scale})`;
}
