import { expect, test } from "vitest";
import { classIndex, describeNeuron, logitNeuron, parseNeuron, readChannel } from "../../src/lib/neuron";

test("all that a neuron can be written as", () => {
  expect(parseNeuron("layer4.1.conv2:17")).toEqual({
    kind: "channel",
    layer: "layer4.1.conv2",
    channel: 17,
    position: null,
  });
  expect(parseNeuron("layer4.1.conv2:17@3,4")).toMatchObject({ channel: 17, position: [3, 4] });
  expect(parseNeuron("logit:dog: small")).toEqual({ kind: "logit", name: "dog: small" });
  expect(parseNeuron("")).toBeNull();
  expect(parseNeuron("layer4")).toBeNull();
});

test("classes by name, by index, and where two have one name", () => {
  const classes = ["dog", "crane", "crane", "7"];
  expect(classIndex(parseNeuron("logit:dog"), classes)).toBe(0);
  expect(classIndex(parseNeuron("logit:2"), classes)).toBe(2);
  expect(classIndex(parseNeuron("logit:cow"), classes)).toBeNull();
  expect(classIndex(parseNeuron("logit:4"), classes)).toBeNull();
  expect(classes.map((_, index) => logitNeuron(index, classes))).toEqual([
    "logit:dog",
    "logit:1",
    "logit:2",
    "logit:3",
  ]);
});

test("how they are called", () => {
  expect(describeNeuron("logit:1", ["cat", "dog"])).toBe("class dog");
  expect(describeNeuron("fc:3@1,2", [])).toBe("fc, channel 3 at row 1, column 2");
});

test("the number field takes a channel, or says what is wrong in one sentence", () => {
  expect(readChannel(" 17 ", "layer3", 128)).toEqual({ neuron: "layer3:17" });
  expect(readChannel("17@3, 4", "layer3", 128)).toEqual({ neuron: "layer3:17@3,4" });
  expect(readChannel("127", "layer3", 128)).toEqual({ neuron: "layer3:127" });
  expect(readChannel("128", "layer3", 128)).toEqual({
    message: "layer3 has no channel 128: its channels are 0 to 127.",
  });
  for (const wrong of ["-1", "1.5", "dog", "3@", "3@4"])
    expect(readChannel(wrong, "layer3", 128)).toEqual({
      message: "A channel of layer3 is a whole number from 0 to 127.",
    });
});
