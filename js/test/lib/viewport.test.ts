import { expect, test } from "vitest";
import { MAX_SCALE, pan, transform, type Viewport, whole, zoom } from "../../src/lib/viewport";

/** The picture's point under a point of the frame. */
const under = ({ scale, x, y }: Viewport, atX: number, atY: number) => [
  x + (atX - 0.5) / scale,
  y + (atY - 0.5) / scale,
];

test("the point under the pointer stays under it", () => {
  const once = zoom(whole, 2, 0.3, 0.6);
  const twice = zoom(once, 1.7, 0.4, 0.4);
  const [x, y] = under(once, 0.4, 0.4);
  expect(under(twice, 0.4, 0.4)[0]).toBeCloseTo(x as number, 10);
  expect(under(twice, 0.4, 0.4)[1]).toBeCloseTo(y as number, 10);
});

test("it never shows what is beside the picture, nor goes beyond its limits", () => {
  let view = zoom(whole, 4);
  view = pan(view, 100, -100);
  expect(view).toEqual({ scale: 4, x: 0.125, y: 0.875 });
  expect(zoom(view, 1e-3)).toEqual(whole);
  expect(zoom(view, 1e6).scale).toBe(MAX_SCALE);
  expect(transform(whole)).toBe("none");
});
