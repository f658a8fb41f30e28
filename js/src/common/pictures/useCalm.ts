import { useEffect, useRef, useState } from "preact/hooks";
import type { Picture } from "../explorer/wire";

const PATIENCE_MS = 250;

/** The picture's progress without the waits that are over at once: what was computed already shows without a flicker. */
export function useCalm(picture: Picture): Picture {
  const waiting = picture.state === "waiting";
  const [long, setLong] = useState(false);
  const before = useRef(picture);
  useEffect(() => {
    setLong(false);
    if (!waiting) return;
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [waiting]);
  if (!waiting) before.current = picture;
  return waiting && !long ? before.current : picture;
}
