// @vitest-environment happy-dom
import { afterEach, expect, test } from "vitest";
import { followTheme, isDark } from "../../src/lib/pageTheme";

const { body, documentElement: html } = document;

afterEach(() => {
  for (const element of [html, body])
    for (const name of element.getAttributeNames()) element.removeAttribute(name);
});

test("a page that says nothing is light", () => {
  expect(isDark(document)).toBe(false);
});

test.each([
  ["JupyterLab", () => body.setAttribute("data-jp-theme-light", "false")],
  ["a lesson", () => html.setAttribute("data-jp-theme-light", "false")],
  ["marimo", () => body.setAttribute("class", "dark dark-theme")],
  ["VS Code", () => body.setAttribute("data-vscode-theme-kind", "vscode-dark")],
  ["VS Code, high contrast", () => body.setAttribute("data-vscode-theme-kind", "vscode-high-contrast")],
  ["Colab", () => html.setAttribute("theme", "dark")],
])("%s can be dark", (_house, say) => {
  say();
  expect(isDark(document)).toBe(true);
});

test.each([
  [
    "JupyterLab, whatever its classes,",
    () => {
      body.setAttribute("data-jp-theme-light", "true");
      body.className = "dark";
    },
  ],
  ["VS Code", () => body.setAttribute("data-vscode-theme-kind", "vscode-light")],
  ["VS Code, high contrast", () => body.setAttribute("data-vscode-theme-kind", "vscode-high-contrast-light")],
  ["another word", () => body.setAttribute("class", "darkroom not-so-darkish")],
])("%s can be light", (_house, say) => {
  say();
  expect(isDark(document)).toBe(false);
});

test("a panel follows the page until it goes", async () => {
  const root = document.createElement("div");
  const end = followTheme(root);
  expect(root.dataset.swTheme).toBe("light");
  body.className = "dark";
  await Promise.resolve();
  expect(root.dataset.swTheme).toBe("dark");
  end();
  body.className = "";
  await Promise.resolve();
  expect(root.dataset.swTheme).toBe("dark");
});
