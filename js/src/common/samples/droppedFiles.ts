// The files of what was dropped: a folder's own as well, and those of its folders.

/** What an image file's name ends in (`spade_widgets/sample.py` says the same). */
const SUFFIX = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;

async function* filesOf(entry: FileSystemEntry): AsyncGenerator<File> {
  if (entry.isFile) {
    yield await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const inside: FileSystemEntry[] = [];
  for (;;) {
    // A browser gives a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    inside.push(...some);
  }
  inside.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const one of inside) {
    if (one.isDirectory || SUFFIX.test(one.name)) yield* filesOf(one);
  }
}

/** What lies in a dropped folder and is no image is passed over; a file that was dropped itself never is. */
export function droppedFiles(dropped: DataTransfer): AsyncIterable<File> | Iterable<File> {
  // They are gone once the event is over: the entries are asked for now.
  const items = [...(dropped.items ?? [])];
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null).filter((entry) => entry !== null);
  if (!entries.some((entry) => entry.isDirectory)) return [...dropped.files];
  return (async function* () {
    for (const entry of entries) yield* filesOf(entry);
  })();
}
