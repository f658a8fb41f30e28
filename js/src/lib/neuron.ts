// A neuron as it is written: "layer4.1.conv2:17", "layer4.1.conv2:17@3,4" (row, column), "logit:dog" or "logit:5".

export type Neuron =
  | { kind: "channel"; layer: string; channel: number; position: [number, number] | null }
  | { kind: "logit"; name: string };

export function parseNeuron(text: string): Neuron | null {
  if (text.startsWith("logit:")) return { kind: "logit", name: text.slice("logit:".length) };
  const match = /^(.+):(\d+)(?:@(\d+),(\d+))?$/.exec(text);
  if (!match) return null;
  const [, layer = "", channel, row, column] = match;
  return {
    kind: "channel",
    layer,
    channel: Number(channel),
    position: row === undefined ? null : [Number(row), Number(column)],
  };
}

/** The class a logit neuron means, by index or by name; null where there is none. */
export function classIndex(neuron: Neuron | null, classes: readonly string[]): number | null {
  if (neuron?.kind !== "logit") return null;
  const named = classes.indexOf(neuron.name);
  if (named >= 0) return named;
  return /^\d+$/.test(neuron.name) && Number(neuron.name) < classes.length ? Number(neuron.name) : null;
}

/** A class is written by name where the name is nobody else's, else by index. */
export function logitNeuron(index: number, classes: readonly string[]): string {
  const name = classes[index] ?? "";
  const plain = name !== "" && !/^\d+$/.test(name) && classes.indexOf(name) === classes.lastIndexOf(name);
  return `logit:${plain ? name : index}`;
}

/** How a neuron is called on screen. */
export function describeNeuron(text: string, classes: readonly string[]): string {
  const neuron = parseNeuron(text);
  if (!neuron) return text;
  if (neuron.kind === "channel") {
    const at = neuron.position ? ` at row ${neuron.position[0]}, column ${neuron.position[1]}` : "";
    return `${neuron.layer}, channel ${neuron.channel}${at}`;
  }
  const index = classIndex(neuron, classes);
  return `class ${index === null ? neuron.name : (classes[index] ?? neuron.name)}`;
}

/** Reads the number field ("17", or "17@3,4"): the neuron, or the sentence that says what is wrong. */
export function readChannel(
  text: string,
  layer: string,
  channels: number,
): { neuron: string } | { message: string } {
  const match = /^\s*(\d+)\s*(?:@\s*(\d+)\s*,\s*(\d+)\s*)?$/.exec(text);
  const last = channels - 1;
  if (!match) return { message: `A channel of ${layer} is a whole number from 0 to ${last}.` };
  const channel = Number(match[1]);
  if (channel > last)
    return { message: `${layer} has no channel ${channel}: its channels are 0 to ${last}.` };
  const at = match[2] === undefined ? "" : `@${Number(match[2])},${Number(match[3])}`;
  return { neuron: `${layer}:${channel}${at}` };
}
