// A lesson, which is a recorded Explorer: the file's own script. Nothing is asked of a kernel or of the network.
// This room holds the recording and what replays it. It imports from common/ and lib/, and from no other panel.

import { defaults, type ExplorerMessage, type Traits } from "../../common/explorer/wire";
import { mount } from "../../common/mount";
import { Lesson } from "./Lesson";
import { RecordedModel } from "./recordedModel";
import { imagesOf, type Recording } from "./recording";

function followColourScheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const say = () => {
    document.documentElement.dataset.jpThemeLight = String(!dark.matches);
  };
  dark.addEventListener("change", say);
  say();
}

/** Puts the recording that stands in the page on it. Returns what takes it off again. */
export function open(page: Document): () => void {
  const text = page.getElementById("recording")?.textContent ?? "";
  const recording = JSON.parse(text) as Recording;
  const image = imagesOf(recording);
  const el = page.getElementById("lesson") as HTMLElement;
  el.replaceChildren();
  return mount<Traits, ExplorerMessage>(
    { model: new RecordedModel(recording, image), el },
    { defaults: () => defaults, show: (base) => <Lesson base={base} recording={recording} image={image} /> },
  );
}

if (document.getElementById("recording")) {
  followColourScheme();
  open(document);
}
