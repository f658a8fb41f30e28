// Made-up pictures: enough like samples, activation maps and visualizations to judge the panel by.

export async function png(canvas: OffscreenCanvas): Promise<DataView> {
  const blob = await canvas.convertToBlob({ type: "image/png" });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  // As from a kernel: a view into a larger buffer.
  const buffer = new ArrayBuffer(bytes.length + 24);
  new Uint8Array(buffer, 16).set(bytes);
  return new DataView(buffer, 16, bytes.length);
}

function noise(seed: number) {
  let state = seed * 2654435761 + 1;
  return () => {
    state = Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

export function sampleCanvas(glyph: string, seed: number, size = 96): OffscreenCanvas {
  const random = noise(seed);
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  for (let blob = 0; blob < 14; blob++) {
    const x = random() * size;
    const y = random() * size;
    const gradient = context.createRadialGradient(x, y, 0, x, y, size * (0.3 + random() * 0.4));
    const hue = Math.floor(random() * 360);
    gradient.addColorStop(0, `hsl(${hue} 80% 45% / 0.9)`);
    gradient.addColorStop(1, `hsl(${hue} 80% 45% / 0)`);
    context.fillStyle = gradient;
    context.fillRect(0, 0, size, size);
  }
  context.font = `${size * 0.55}px "Noto Color Emoji", sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = "white";
  context.fillText(glyph, size * (0.4 + random() * 0.2), size * (0.45 + random() * 0.2));
  return canvas;
}

export function mapCanvas(sample: OffscreenCanvas, seed: number, size = 48): OffscreenCanvas {
  const random = noise(seed + 7);
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  context.drawImage(sample, 0, 0, size, size);
  context.fillStyle = "rgb(0 0 0 / 75%)";
  context.fillRect(0, 0, size, size);
  const x = size * (0.3 + random() * 0.4);
  const y = size * (0.3 + random() * 0.4);
  const heat = context.createRadialGradient(x, y, 0, x, y, size * (0.2 + random() * 0.2));
  heat.addColorStop(0, "#ffeaa0");
  heat.addColorStop(0.4, "#f8765c");
  heat.addColorStop(0.8, "rgb(130 30 120 / 60%)");
  heat.addColorStop(1, "rgb(80 10 100 / 0%)");
  context.fillStyle = heat;
  context.fillRect(0, 0, size, size);
  return canvas;
}

/** Stripes that come out of the fog as the steps go by. */
export function visualization(seed: number, warm: boolean, clarity: number, size = 64): OffscreenCanvas {
  const random = noise(seed);
  const waves = Array.from({ length: 9 }, () => [random() * 10 - 5, random() * 10 - 5, random() * 6.3]);
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  const image = context.createImageData(size, size);
  const grain = noise(Math.round(clarity * 1000) + seed);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const u = x / size;
      const v = y / size;
      const warp = waves.reduce((sum, [a = 0, b = 0, c = 0]) => sum + Math.sin(a * u * 2 + b * v * 2 + c), 0);
      const value = Math.sin(warp * 2.2 + u * 5) * 0.5 + 0.5;
      const other = Math.cos(warp * 1.3 - v * 7) * 0.5 + 0.5;
      const colour = warm
        ? [230 * value + 25, 140 * value * other + 30, 60 * other]
        : [200 * value, 210 * value + 30 * other, 240 * other + 20];
      const at = (y * size + x) * 4;
      for (let channel = 0; channel < 3; channel++) {
        const clear = colour[channel] ?? 0;
        image.data[at + channel] = 128 + (clear - 128) * clarity + (grain() - 0.5) * 90 * (1.1 - clarity);
      }
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
