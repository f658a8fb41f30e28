import { useEffect, useState } from "preact/hooks";
import type { PanelState } from "../state";
import { addFiles } from "./addFiles";

/** What is done with what is dropped on a part of the panel (`data-drop`); elsewhere files are samples to add. */
export type Droppers = Readonly<Record<string, (dropped: DataTransfer) => void>>;

const SAMPLES = "samples";

function partOf(event: DragEvent): string {
  // Within a shadow root, as in marimo, the event's target is the root's host.
  const inside = event.composedPath().find((one) => one instanceof HTMLElement && one.dataset.drop);
  return (inside as HTMLElement | undefined)?.dataset.drop ?? SAMPLES;
}

/** Makes the panel a place to drop files on. Which part of it some hover over: `"samples"` where it is none; else "". */
export function useDropZone(panel: PanelState, droppers?: Droppers): string {
  const [over, setOver] = useState("");
  useEffect(() => {
    const { root } = panel;
    const off = new AbortController();
    const options = { signal: off.signal };
    const carriesFiles = (event: DragEvent) =>
      panel.connection.live.value && (event.dataTransfer?.types.includes("Files") ?? false);
    const claim = (event: DragEvent): boolean => {
      if (!carriesFiles(event)) return false;
      // The Lab would open the file, or upload it next to the notebook.
      event.preventDefault();
      event.stopPropagation();
      return true;
    };
    root.addEventListener("dragenter", (event) => claim(event) && setOver(partOf(event)), options);
    root.addEventListener(
      "dragover",
      (event) => {
        if (claim(event) && event.dataTransfer) event.dataTransfer.dropEffect = "copy";
      },
      options,
    );
    root.addEventListener(
      "dragleave",
      (event) => {
        const to = event.relatedTarget;
        if (!(to instanceof Node) || !root.contains(to)) setOver("");
      },
      options,
    );
    root.addEventListener(
      "drop",
      (event) => {
        setOver("");
        if (!claim(event) || !event.dataTransfer) return;
        const take = droppers?.[partOf(event)];
        if (take) take(event.dataTransfer);
        else void addFiles(panel, [...event.dataTransfer.files]);
      },
      options,
    );
    return () => off.abort();
  }, [panel, droppers]);
  return over;
}
