import type { ExplorerState } from "../../common/explorer/state";
import type { PhotosTaken } from "../../common/explorer/wire";
import { readFile } from "../../common/samples/addFiles";

/** Files that may be on their way: a folder of thousands would fill the page's memory while the kernel is busy. */
const AHEAD = 3;
/** Sentences about files that are said; of a large folder they would fill the panel. */
const SAID = 3;

/** Sends files to the kernel to look for examples in, as fast as it takes them. Returns how many it was sent. */
export async function addPhotos(
  panel: ExplorerState,
  files: AsyncIterable<File> | Iterable<File>,
): Promise<number> {
  const problems: string[] = [];
  let [sent, taken] = [0, 0];
  let wake = () => {};
  const forget = panel.connection.onMessage((message) => {
    if ((message as { type?: unknown }).type !== "photos taken") return;
    taken += (message as PhotosTaken).files;
    wake();
  });
  try {
    for await (const file of files) {
      const bytes = await readFile(file, problems);
      if (!bytes) continue;
      while (sent - taken >= AHEAD && panel.connection.live.value) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (!panel.connection.live.value) break;
      panel.send({ type: "photos", files: [{ name: file.name }] }, [bytes]);
      sent += 1;
    }
  } catch {
    problems.push("What was dropped can't be read: drop image files, or a folder of them.");
  } finally {
    forget();
  }
  const more = problems.length - SAID;
  if (more > 0) problems.splice(SAID, more, `And ${more} more.`);
  if (problems.length > 0) panel.pageError.value = problems.join(" ");
  return sent;
}
