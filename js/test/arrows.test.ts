/// <reference types="vite/client" />
// Which room may import from which. An arrow the other way is a part that lies in the wrong room.

import { expect, test } from "vitest";

const sources = import.meta.glob<string>("../src/**/*.{ts,tsx,css}", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** `src/panels/saliency/maps/Cell.tsx` lies in `panels/saliency`, `src/lib/bytes.ts` in `lib`. */
const roomOf = (path: string) => /^\.\.\/src\/(panels\/[^/]+|[^/]+)/.exec(path)?.[1] ?? path;

const allowed = (from: string, to: string) =>
  from === to || to === "lib" || (to === "common" && from.startsWith("panels/"));

/** The modules that a file names, types and stylesheets too. */
function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport|@import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

const resolve = (from: string, to: string) =>
  new URL(to, `file:///js/test/${from}`).pathname.replace("/js/", "../");

/** An arrow a relative import: from which file to which, as paths from here. */
function arrows(files: Record<string, string>): [string, string][] {
  const named = new Map(Object.keys(files).map((path) => [path.replace(/\.tsx?$/, ""), path]));
  return Object.entries(files).flatMap(([from, text]) =>
    importsOf(text)
      .filter((to) => to.startsWith("."))
      .map((to): [string, string] => [from, named.get(resolve(from, to)) ?? resolve(from, to)]),
  );
}

const wrong = (files: Record<string, string>) =>
  arrows(files)
    .filter(([from, to]) => !allowed(roomOf(from), roomOf(to)))
    .map(([from, to]) => `${from} → ${to}`);

/** Files that import each other, by however many steps. */
function circles(files: Record<string, string>): string[] {
  const all = arrows(files);
  const reached = (start: string) => {
    const seen = new Set<string>();
    const walk = (from: string) => {
      for (const [, to] of all.filter(([other]) => other === from)) {
        if (seen.has(to)) continue;
        seen.add(to);
        walk(to);
      }
    };
    walk(start);
    return seen;
  };
  return Object.keys(files).filter((path) => reached(path).has(path));
}

test("lib/ imports from itself, common/ from lib/, a panel from both, and from no other panel", () => {
  expect(Object.keys(sources).length).toBeGreaterThan(80);
  expect(arrows(sources).filter(([, to]) => !(to in sources))).toEqual([]);
  expect(wrong(sources)).toEqual([]);
});

test("no two files import each other", () => {
  expect(circles(sources)).toEqual([]);
});

test("lib/ holds plain functions: nothing of Preact", () => {
  const packages = Object.entries(sources)
    .filter(([path]) => roomOf(path) === "lib")
    .flatMap(([, text]) => importsOf(text).filter((name) => !name.startsWith(".")));
  expect([...new Set(packages)]).toEqual(["d3-scale-chromatic"]);
});

test("an arrow the other way is named", () => {
  const files = {
    "../src/lib/a.ts": 'import { b } from "../common/b";',
    "../src/common/b.tsx": 'import "../panels/explorer/c.css";\nimport { type A } from "../lib/a";',
    "../src/panels/explorer/c.css": '@import "../saliency/d.css";\n@import "../../lib/e.css";',
  };
  expect(wrong(files)).toEqual([
    "../src/lib/a.ts → ../src/common/b.tsx",
    "../src/common/b.tsx → ../src/panels/explorer/c.css",
    "../src/panels/explorer/c.css → ../src/panels/saliency/d.css",
  ]);
  expect(circles(files)).toEqual(["../src/lib/a.ts", "../src/common/b.tsx"]);
});
