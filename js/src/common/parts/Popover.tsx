import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { usePanel } from "../state";

interface Props {
  /** What the button says, and what it is called where that is no text. */
  button: ComponentChildren;
  label?: string;
  title?: string;
  class?: string;
  /** Given a way to close. */
  children(close: () => void): ComponentChildren;
}

const EDGE = 8;
const LEAST = 160;

/** A button, and under it what it opens: inside the panel, wherever the button is. Escape and a click outside close it. */
export function Popover({ button, label, title, class: look, children }: Props) {
  const panel = usePanel();
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    const [from, floating] = [anchor.current, box.current];
    if (!open || !from || !floating) return;
    const place = () => {
      const outer = panel.root.getBoundingClientRect();
      const at = from.getBoundingClientRect();
      const origin = (floating.offsetParent ?? panel.root).getBoundingClientRect();
      const room = Math.max(0, outer.width - 2 * EDGE);
      floating.style.maxWidth = `${room}px`;
      const left = Math.min(at.left, outer.right - EDGE - floating.offsetWidth);
      floating.style.left = `${Math.max(left, outer.left + EDGE) - origin.left}px`;
      const below = outer.bottom - at.bottom - EDGE - 4;
      const above = at.top - outer.top - EDGE - 4;
      const up = below < Math.min(LEAST, floating.scrollHeight) && above > below;
      floating.style.maxHeight = `${Math.max(LEAST, Math.min(460, up ? above : below))}px`;
      floating.style.top = up
        ? `${at.top - origin.top - floating.offsetHeight - 4}px`
        : `${at.bottom - origin.top + 4}px`;
    };
    place();
    const observer = new ResizeObserver(place);
    observer.observe(panel.root);
    const chosen = floating.querySelector<HTMLElement>('[aria-checked="true"], input:checked');
    (chosen ?? floating.querySelector<HTMLElement>("button, input, select") ?? floating).focus();
    return () => observer.disconnect();
  }, [open, panel]);

  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      // Within a shadow root, as in marimo, the event's target is the root's host.
      const path = event.composedPath();
      if (![box.current, anchor.current].some((own) => own && path.includes(own))) setOpen(false);
    };
    document.addEventListener("pointerdown", outside, true);
    return () => document.removeEventListener("pointerdown", outside, true);
  }, [open]);

  const close = () => {
    setOpen(false);
    anchor.current?.focus();
  };
  return (
    <>
      <button
        ref={anchor}
        type="button"
        class={`sw-button ${look ?? ""}`}
        aria-haspopup="dialog"
        aria-expanded={open}
        aria-label={label}
        title={title}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div
          ref={box}
          class="sw-popover"
          role="dialog"
          aria-label={label ?? title}
          tabIndex={-1}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            close();
          }}
          onFocusOut={(event) => {
            const to = event.relatedTarget as Node | null;
            if (to && !box.current?.contains(to) && to !== anchor.current) setOpen(false);
          }}
        >
          {children(close)}
        </div>
      )}
    </>
  );
}
