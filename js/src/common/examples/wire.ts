// What is told of an example: an image that excites a neuron, and the crop of it that does. Python's side is
// `spade_widgets/widgets/common/examples.py`. Keep the two in step.

import type { Bytes } from "../../lib/bytes";

export interface ExampleInfo {
  /** The image's, as a sample's: a sample with this id is the same image. */
  id: string;
  title: string;
  /** The neuron's activation there. */
  value: number;
  /** An image file; empty where there is none. */
  crop: Bytes;
}
