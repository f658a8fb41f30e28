// A made-up page: the parts of a browser that it lacks, and what a user does on it.

import { act } from "preact/test-utils";

export const png = (mark = 0) => {
  const buffer = new Uint8Array([5, 5, 0x89, 0x50, 0x4e, 0x47, mark]).buffer;
  return new DataView(buffer, 2);
};

/** What is on screen is said by the test; at first everything is. */
export class Screen {
  static watching: Screen[] = [];
  constructor(private readonly callback: (entries: { isIntersecting: boolean }[]) => void) {}
  observe() {
    Screen.watching.push(this);
    this.callback([{ isIntersecting: true }]);
  }
  disconnect() {
    Screen.watching.splice(Screen.watching.indexOf(this), 1);
  }
  static show(visible: boolean) {
    for (const one of Screen.watching) one.callback([{ isIntersecting: visible }]);
  }
}

/** Lets decoding, effects and rendering come to an end. */
export async function settle(): Promise<void> {
  await act(async () => {
    for (let turn = 0; turn < 6; turn++) await Promise.resolve();
  });
}

export function find<E extends HTMLElement = HTMLElement>(el: HTMLElement, selector: string): E {
  const found = el.querySelector<E>(selector);
  if (!found) throw new Error(`nothing is ${selector}`);
  return found;
}

export async function press(target: HTMLElement, key: string): Promise<void> {
  await act(() => {
    target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  });
}

export async function type(field: HTMLInputElement, text: string, key = "Enter"): Promise<void> {
  await act(() => {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await press(field, key);
}
