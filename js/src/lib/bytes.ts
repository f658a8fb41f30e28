/** Binary data as it arrives from the kernel: a DataView on a larger buffer, so mind `byteOffset`. */
export type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The bytes that a view stands for, and no others of its buffer. */
export function toUint8(data: unknown): Uint8Array<ArrayBuffer> {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data))
    return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return new Uint8Array(0);
}

export function isEmpty(data: Bytes | null | undefined): boolean {
  return !data || data.byteLength === 0;
}

const text = (bytes: Uint8Array, from: number, to: number) =>
  String.fromCharCode(...bytes.subarray(from, to));

/** The image type, from the first bytes: frames are JPEG or PNG, whichever was smaller to make; lessons have WebP. */
export function sniff(bytes: Uint8Array): "image/png" | "image/jpeg" | "image/webp" | "" {
  if (bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47) return "image/png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return "image/jpeg";
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP") return "image/webp";
  return "";
}

export function toBlob(data: unknown): Blob {
  const bytes = toUint8(data);
  return new Blob([bytes], { type: sniff(bytes) });
}

/** The image itself as an address: what is small needs no other that would have to be given back. */
export function toDataUrl(data: unknown): string {
  const bytes = toUint8(data);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return `data:${sniff(bytes) || "image/png"};base64,${btoa(binary)}`;
}
