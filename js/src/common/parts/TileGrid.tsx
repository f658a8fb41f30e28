import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

interface Props<T> {
  label: string;
  class?: string;
  items: readonly T[];
  keyOf(item: T): string;
  selected: string | null;
  busy?: boolean;
  onSelect(item: T): void;
  /** The name that a screen reader says and that a pointer at rest shows. */
  titleOf(item: T): string;
  children(item: T): ComponentChildren;
}

/** Tiles of which one is chosen: one stop for Tab, arrows inside, as radio buttons are. */
export function TileGrid<T>(props: Props<T>) {
  const { items, keyOf, selected, onSelect, titleOf } = props;
  const grid = useRef<HTMLDivElement>(null);
  const chosen = items.findIndex((item) => keyOf(item) === selected);
  const stop = Math.max(0, chosen);

  const move = (event: KeyboardEvent, from: number) => {
    const tiles = [...(grid.current?.children ?? [])] as HTMLElement[];
    const top = tiles[0]?.offsetTop;
    const columns = Math.max(1, tiles.filter((tile) => tile.offsetTop === top).length);
    const steps: Record<string, number> = {
      ArrowRight: from + 1,
      ArrowLeft: from - 1,
      ArrowDown: from + columns,
      ArrowUp: from - columns,
      Home: 0,
      End: items.length - 1,
    };
    const to = steps[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const item = items[to];
    if (item === undefined) return;
    tiles[to]?.focus();
    onSelect(item);
  };

  return (
    <div
      ref={grid}
      role="radiogroup"
      aria-label={props.label}
      class={props.class}
      aria-busy={props.busy ?? false}
    >
      {items.map((item, index) => (
        <button
          type="button"
          role="radio"
          key={keyOf(item)}
          class="sw-tile"
          aria-checked={index === chosen}
          aria-label={titleOf(item)}
          title={titleOf(item)}
          tabIndex={index === stop ? 0 : -1}
          onClick={() => onSelect(item)}
          onKeyDown={(event) => move(event, index)}
        >
          {props.children(item)}
        </button>
      ))}
    </div>
  );
}
