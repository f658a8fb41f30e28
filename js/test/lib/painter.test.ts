import { expect, test, vi } from "vitest";
import { createPainter } from "../../src/lib/painter";

function setUp() {
  const drawn: string[] = [];
  const waiting: { name: string; resolve(): void; reject(): void }[] = [];
  const canvas = {
    width: 0,
    height: 0,
    getContext: () => ({
      clearRect: () => {},
      drawImage: (bitmap: { name: string }) => drawn.push(bitmap.name),
    }),
  };
  const close = vi.fn();
  let number = 0;
  const decode = () =>
    new Promise<ImageBitmap>((resolve, reject) => {
      const name = `frame ${++number}`;
      waiting.push({
        name,
        resolve: () => resolve({ name, width: 8, height: 8, close } as unknown as ImageBitmap),
        reject: () => reject(new Error("no picture")),
      });
    });
  const painter = createPainter(canvas as unknown as HTMLCanvasElement, decode);
  return { painter, drawn, waiting, close, canvas };
}

test("a frame that is decoded after a later one is passed over", async () => {
  const { painter, drawn, waiting, close } = setUp();
  const first = painter.paint(new Uint8Array(3));
  const second = painter.paint(new Uint8Array(3));
  waiting[1]?.resolve();
  expect(await second).toBe(true);
  waiting[0]?.resolve();
  expect(await first).toBe(false);
  expect(drawn).toEqual(["frame 2"]);
  expect(close).toHaveBeenCalledTimes(2);
});

test("bytes that are no picture reject and leave the former picture", async () => {
  const { painter, drawn, waiting } = setUp();
  const good = painter.paint(new Uint8Array(3));
  waiting[0]?.resolve();
  await good;
  const bad = painter.paint(new Uint8Array(3));
  waiting[1]?.reject();
  await expect(bad).rejects.toThrow("no picture");
  expect(drawn).toEqual(["frame 1"]);
  const next = painter.paint(new Uint8Array(3));
  waiting[2]?.resolve();
  expect(await next).toBe(true);
});

test("what was on its way when the canvas was cleared is not drawn", async () => {
  const { painter, drawn, waiting } = setUp();
  const late = painter.paint(new Uint8Array(3));
  painter.clear();
  waiting[0]?.resolve();
  expect(await late).toBe(false);
  expect(drawn).toEqual([]);
});
