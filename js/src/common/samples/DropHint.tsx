import { usePanel } from "../state";
import { type Droppers, useDropZone } from "./useDropZone";

interface Props {
  /** Parts of the panel where what is dropped is not a sample, and what is said of them. */
  droppers?: Droppers;
  hints?: Readonly<Record<string, string>>;
}

/** Makes the whole panel a place to drop images on, and says so while some hover over it. */
export function DropHint({ droppers, hints }: Props) {
  const over = useDropZone(usePanel(), droppers);
  if (over === "") return null;
  return (
    <div class="sw-drop" aria-hidden="true">
      {hints?.[over] ?? "Drop images to add them as samples, or a plan (JSON) to prune by it"}
    </div>
  );
}
