import { expect, test } from "vitest";
import { isEmpty, sniff, toBlob, toDataUrl, toUint8 } from "../../src/lib/bytes";

const png = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a];

test("a DataView stands for its own part of the buffer only", async () => {
  const whole = new Uint8Array([9, 9, 9, ...png, 7, 7]);
  const view = new DataView(whole.buffer, 3, png.length);
  expect([...toUint8(view)]).toEqual(png);
  const blob = toBlob(view);
  expect(blob.type).toBe("image/png");
  expect([...new Uint8Array(await blob.arrayBuffer())]).toEqual(png);
});

test("a Uint8Array on a part, a bare buffer, and nothing at all", () => {
  const whole = new Uint8Array([1, 2, 3, 4]);
  expect([...toUint8(whole.subarray(1, 3))]).toEqual([2, 3]);
  expect([...toUint8(whole.buffer)]).toEqual([1, 2, 3, 4]);
  expect([...toUint8(undefined)]).toEqual([]);
  expect(isEmpty(new DataView(whole.buffer, 4, 0))).toBe(true);
  expect(isEmpty(null)).toBe(true);
  expect(isEmpty(new DataView(whole.buffer))).toBe(false);
});

test("the type is in the first bytes", () => {
  expect(sniff(new Uint8Array(png))).toBe("image/png");
  expect(sniff(new Uint8Array([0xff, 0xd8, 0xff]))).toBe("image/jpeg");
  expect(sniff(new TextEncoder().encode("RIFF\x01\x02\x03\x04WEBPVP8L"))).toBe("image/webp");
  expect(sniff(new TextEncoder().encode("RIFF\x01\x02\x03\x04WAVEfmt "))).toBe("");
  expect(sniff(new Uint8Array([0x3c, 0x73, 0x76, 0x67]))).toBe("");
});

test("an image's address holds its own bytes, and says of what kind they are", () => {
  const whole = new Uint8Array([9, ...png, 200, 255]);
  const url = toDataUrl(new DataView(whole.buffer, 1));
  expect(url.startsWith("data:image/png;base64,")).toBe(true);
  const read = atob(url.split(",")[1] ?? "");
  expect([...read].map((letter) => letter.charCodeAt(0))).toEqual([...png, 200, 255]);
});
