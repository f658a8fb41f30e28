import { useEffect, useState } from "preact/hooks";
import type { PanelState } from "../state";
import { addFiles } from "./addFiles";

/** Files dropped anywhere on the panel are samples to add. True while files hover over it. */
export function useDropZone(panel: PanelState): boolean {
  const [over, setOver] = useState(false);
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
    root.addEventListener("dragenter", (event) => claim(event) && setOver(true), options);
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
        if (!(to instanceof Node) || !root.contains(to)) setOver(false);
      },
      options,
    );
    root.addEventListener(
      "drop",
      (event) => {
        setOver(false);
        if (claim(event)) void addFiles(panel, [...(event.dataTransfer?.files ?? [])]);
      },
      options,
    );
    return () => off.abort();
  }, [panel]);
  return over;
}
