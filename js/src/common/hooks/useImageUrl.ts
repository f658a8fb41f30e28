import { useMemo } from "preact/hooks";
import { type Bytes, isEmpty, toDataUrl } from "../../lib/bytes";

/** An address for a small image's bytes, within what pages allow that are strict about images (`img-src 'self' data:`). */
export function useImageUrl(data: Bytes): string | undefined {
  return useMemo(() => (isEmpty(data) ? undefined : toDataUrl(data)), [data]);
}
