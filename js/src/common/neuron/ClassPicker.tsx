import { useEffect, useRef, useState } from "preact/hooks";
import { classIndex, logitNeuron, parseNeuron } from "../../lib/neuron";
import { useNeuron } from "./state";

const SHOWN = 60;

/** Classes whose name (or index) holds what was typed; those that begin with it first. */
export function findClasses(classes: readonly string[], query: string): number[] {
  const wanted = query.trim().toLowerCase();
  const begins: number[] = [];
  const holds: number[] = [];
  for (const [index, name] of classes.entries()) {
    const lower = name.toLowerCase();
    if (lower.startsWith(wanted) || String(index) === wanted) begins.push(index);
    else if (lower.includes(wanted)) holds.push(index);
  }
  return [...begins, ...holds];
}

/** A class logit by name: a field that narrows the list, for a model may know a thousand classes. */
export function ClassPicker() {
  const panel = useNeuron();
  const classes = panel.traits.app.value.classes;
  const current = classIndex(parseNeuron(panel.traits.neuron.value), classes);
  const [query, setQuery] = useState<string | null>(null);
  // Opened, the field has the class that is chosen: all are listed until something is typed.
  const [typed, setTyped] = useState(false);
  const [active, setActive] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const open = query !== null;
  const found = open ? findClasses(classes, typed ? query : "") : [];
  const shown = found.slice(0, SHOWN);
  const listId = panel.id("classes");

  useEffect(() => {
    const box = list.current;
    const option = box?.querySelector<HTMLElement>('[data-active="true"]');
    if (!box || !option) return;
    if (option.offsetTop < box.scrollTop) box.scrollTop = option.offsetTop;
    const under = option.offsetTop + option.offsetHeight - box.clientHeight;
    if (under > box.scrollTop) box.scrollTop = under;
  }, [active, open]);

  const start = () => {
    setQuery(current === null ? "" : (classes[current] ?? ""));
    setTyped(false);
    setActive(Math.max(0, current ?? 0) < SHOWN ? Math.max(0, current ?? 0) : 0);
  };
  const choose = (index: number | undefined) => {
    if (index === undefined) return;
    setQuery(null);
    panel.connection.set("neuron", logitNeuron(index, classes));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) start();
      else if (shown.length > 0)
        setActive((active + (event.key === "ArrowDown" ? 1 : -1) + shown.length) % shown.length);
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      choose(shown[active]);
    } else if (event.key === "Escape" && open) {
      event.stopPropagation();
      setQuery(null);
    }
  };

  return (
    <div class="sw-class-picker">
      <label class="sw-label" for={panel.id("class")}>
        or a class
      </label>
      <input
        id={panel.id("class")}
        class="sw-input"
        type="text"
        role="combobox"
        autocomplete="off"
        spellcheck={false}
        placeholder={classes.length > 0 ? `search ${classes.length} classes` : "no classes"}
        aria-expanded={open}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={open && shown.length > 0 ? `${listId}-${shown[active]}` : undefined}
        value={query ?? (current === null ? "" : classes[current])}
        onFocus={(event) => event.currentTarget.select()}
        onClick={() => !open && start()}
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setTyped(true);
          setActive(0);
        }}
        onKeyDown={onKeyDown}
        onBlur={() => setQuery(null)}
      />
      <div class="sw-options" id={listId} role="listbox" aria-label="Classes" ref={list} hidden={!open}>
        {shown.map((index, place) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the combobox has the keys
          // biome-ignore lint/a11y/useFocusableInteractive: focus stays in the combobox
          <div
            key={index}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === current}
            data-active={place === active}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => choose(index)}
          >
            <span class="sw-line" title={classes[index]}>
              <bdi>{classes[index]}</bdi>
            </span>
            <span class="sw-secondary sw-number">{index}</span>
          </div>
        ))}
        {open && found.length === 0 && <p class="sw-secondary">No class is called that.</p>}
        {found.length > SHOWN && <p class="sw-secondary">and {found.length - SHOWN} more: type to narrow</p>}
      </div>
    </div>
  );
}
