/** Puts text on the clipboard; false where the browser lets us do neither the new way nor the old. */
export async function copyText(text: string, near: HTMLElement): Promise<boolean> {
  // navigator.clipboard is missing on plain http, where many people's JupyterLab runs, and may refuse in frames.
  if (navigator.clipboard?.writeText) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (reason) {
      console.debug("clipboard refused, trying the old way", reason);
    }
  }
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.style.cssText = "position: fixed; opacity: 0; pointer-events: none";
  near.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
