import { useEffect, useState } from "preact/hooks";
import { type Bytes, isEmpty, toBlob } from "../../lib/bytes";

/** An address for an image's bytes, for as long as it is shown; the former one stays until the new one is there. */
export function useBlobUrl(data: Bytes): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (isEmpty(data)) {
      setUrl(undefined);
      return;
    }
    const made = URL.createObjectURL(toBlob(data));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  return url;
}
