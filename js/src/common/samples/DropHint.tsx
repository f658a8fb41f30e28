import { usePanel } from "../state";
import { useDropZone } from "./useDropZone";

/** Makes the whole panel a place to drop images on, and says so while some hover over it. */
export function DropHint() {
  const dropping = useDropZone(usePanel());
  if (!dropping) return null;
  return (
    <div class="sw-drop" aria-hidden="true">
      Drop images to add them as samples, or a plan (JSON) to prune by it
    </div>
  );
}
