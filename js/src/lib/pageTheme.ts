// Whether the page around a panel is dark. Each house has its own word for it; none of them is the OS's setting.

const dark = /(^|[\s-])dark($|\s)|vscode-high-contrast($|\s)/;

/** JupyterLab, Notebook and Voilà say so in `data-jp-theme-light`, marimo in a class, VS Code and Colab in attributes. */
export function isDark(page: Document): boolean {
  const lab = page.querySelector<HTMLElement>("[data-jp-theme-light]")?.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  return [page.documentElement, page.body].some((element) =>
    [element.className, element.getAttribute("theme"), element.dataset.vscodeThemeKind].some((word) =>
      dark.test(word ?? ""),
    ),
  );
}

/** Keeps `data-sw-theme` on a panel's root in step with the page. Returns what ends it. */
export function followTheme(root: HTMLElement): () => void {
  const say = () => {
    root.dataset.swTheme = isDark(document) ? "dark" : "light";
  };
  const observer = new MutationObserver(say);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, {
      attributeFilter: ["class", "theme", "data-jp-theme-light", "data-vscode-theme-kind"],
    });
  }
  say();
  return () => observer.disconnect();
}
