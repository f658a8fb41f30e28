import { useEffect } from "preact/hooks";
import { Popover } from "../../../common/parts/Popover";
import { toUint8 } from "../../../lib/bytes";
import { download } from "../../../lib/download";
import { stem } from "../names";
import { type SaliencyState, useSaliency } from "../state";
import type { FileMessage } from "../wire";
import { drawGrid } from "./gridPicture";

function isFile(message: unknown): message is FileMessage {
  const { type, name } = (message ?? {}) as { type?: unknown; name?: unknown };
  return type === "file" && typeof name === "string";
}

function saveGrid(panel: SaliencyState) {
  drawGrid(panel).toBlob((blob) => {
    if (blob) download(blob, `${stem(panel, "saliency")}.png`);
    else panel.pageError.value = "The browser could not make a PNG of the maps.";
  }, "image/png");
}

export function ExportMenu() {
  const panel = useSaliency();
  const [asked, ask] = [panel.exporting, panel.send];

  // Every view of the model hears the answer; the one that asked gives it to the user.
  useEffect(
    () =>
      panel.connection.onMessage((message, buffers) => {
        if (!isFile(message) || !asked.peek()) return;
        asked.value = false;
        download(new Blob([toUint8(buffers[0])], { type: "application/octet-stream" }), message.name);
      }),
    [panel, asked],
  );

  return (
    <Popover label="Export the maps" class="sw-opens" button="Export">
      {(close) => (
        <div class="sw-menu">
          <button
            type="button"
            onClick={() => {
              close();
              saveGrid(panel);
            }}
          >
            <span>Picture (.png)</span>
            <span class="sw-secondary">the maps as they are drawn now</span>
          </button>
          <button
            type="button"
            disabled={!panel.connection.live.value}
            onClick={() => {
              close();
              asked.value = true;
              ask({ type: "export" });
            }}
          >
            <span>NumPy (.npz)</span>
            <span class="sw-secondary">the numbers of all maps, the image and its mask</span>
          </button>
        </div>
      )}
    </Popover>
  );
}
