import type { PanelState } from "../state";

// A Jupyter server closes the connection, with the kernel's state behind it, on a message of more than 10 MiB.
const MAX_MESSAGE = 9 * 1024 * 1024;

/** Sends image files to the kernel as they are: what is in them is for Python to judge. */
export async function addFiles(panel: PanelState, files: readonly File[]): Promise<void> {
  const problems: string[] = [];
  for (const file of files) {
    const bytes = await readFile(file, problems);
    if (bytes) panel.send({ type: "add", files: [{ name: file.name }] }, [bytes]);
  }
  if (problems.length > 0) panel.pageError.value = problems.join(" ");
}

/** A file's bytes; null where they cannot be sent, and why. */
export async function readFile(file: File, problems: string[]): Promise<Uint8Array<ArrayBuffer> | null> {
  if (file.size > MAX_MESSAGE) {
    const size = (file.size / 1e6).toFixed(1);
    problems.push(
      `${file.name} has ${size} MB; the page can send up to 9 MB: give larger files by path in Python.`,
    );
    return null;
  }
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    problems.push(`${file.name} can't be read: drop an image file.`);
    return null;
  }
}
