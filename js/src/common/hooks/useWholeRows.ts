import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { cutAt } from "../../lib/rows";

/** Ends a list of tiles within a row's pictures, so that it goes on to the eye: in the texts it would leave dots. */
export function useWholeRows(scroller: RefObject<HTMLElement | null>, items: readonly unknown[]): void {
  useLayoutEffect(() => {
    const box = scroller.current;
    const around = box?.closest<HTMLElement>(".sw-column");
    if (!box || !around) return;
    const fit = () => {
      box.style.maxHeight = "";
      const tiles = [...box.querySelectorAll<HTMLElement>(".sw-tile")];
      const [first] = tiles;
      const next = tiles.find((tile) => tile.offsetTop > (first?.offsetTop ?? 0));
      const picture = first?.querySelector<HTMLElement>(".sw-tile-image")?.offsetHeight ?? 0;
      if (!first || !next || box.scrollHeight <= box.clientHeight) return;
      const pitch = next.offsetTop - first.offsetTop;
      box.style.maxHeight = `${cutAt(box.clientHeight, first.offsetTop, pitch, picture)}px`;
    };
    fit();
    const observer = new ResizeObserver(fit);
    observer.observe(around);
    return () => observer.disconnect();
  }, [scroller, items]);
}
