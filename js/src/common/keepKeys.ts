// Which keys stay in a panel, and which the page hears. A notebook's shortcuts mean the cell that has the focus; those
// of the whole page mean none. So a key of the panel never goes up through its cell: what could be a shortcut of the
// page is said again outside of the notebook, where no shortcut of a cell can match, whichever these are in this house.

/** What holds a notebook, or a view of a cell's output, in JupyterLab and Notebook 7. */
const HOLDERS = ".jp-Activity, .jp-NotebookPanel";

/** Whether a key may be a shortcut of the page: with Ctrl, ⌘ or Alt, or a function key. */
function isShortcut(event: KeyboardEvent): boolean {
  if (event.isComposing || event.defaultPrevented) return false;
  // AltGr, which some browsers call Ctrl and Alt, types: @ and € on many keyboards.
  if (event.ctrlKey && event.altKey && event.getModifierState("AltGraph")) return false;
  return event.ctrlKey || event.metaKey || event.altKey || /^F\d/.test(event.key);
}

/** Keeps a panel's keys to it, but for shortcuts of the whole page. Returns what ends it. */
export function keepKeys(root: HTMLElement): () => void {
  root.dataset.lmSuppressShortcuts = "true";
  // Notebook 7 hears a key before the panel does, and asks nobody but the element that has the focus.
  const claim = ({ target }: FocusEvent) => {
    if (target instanceof HTMLElement) target.dataset.lmSuppressShortcuts = "true";
  };
  const hear = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (!isShortcut(event)) return;
    const outside = root.closest(HOLDERS) ?? document.body;
    if (!outside.dispatchEvent(new KeyboardEvent(event.type, event))) event.preventDefault();
  };
  // The Lab takes an undo that follows a key it has heard for its own cells' and prevents the field's.
  const typed = (event: InputEvent) => event.stopPropagation();
  root.addEventListener("keydown", hear);
  root.addEventListener("beforeinput", typed);
  root.addEventListener("focusin", claim);
  return () => {
    root.removeEventListener("keydown", hear);
    root.removeEventListener("beforeinput", typed);
    root.removeEventListener("focusin", claim);
  };
}
