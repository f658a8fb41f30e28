// Bundles every panel into the Python package, where anywidget reads it: one ES module and one stylesheet a panel; and
// the same for the lessons that `Explorer.export_html` writes.
//   node build.mjs                  → ../spade_widgets/widgets/static/
//   node build.mjs --demo [--serve] → demo/dist/, the panel outside Jupyter on a made-up model
import { mkdir, readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const flags = new Set(process.argv.slice(2));
const demo = flags.has("--demo");
const outdir = resolve(here, demo ? "demo/dist" : "../spade_widgets/widgets/static");
const panels = ["explorer", "saliency", "facets"];
const bundles = [...panels, "lesson"];

/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: here,
  entryPoints: demo
    ? [
        { in: "demo/main.ts", out: "demo" },
        ...panels.map((name) => ({ in: `src/panels/${name}/main.css`, out: name })),
      ]
    : bundles.flatMap((name) => [
        { in: `src/panels/${name}/main.tsx`, out: name },
        { in: `src/panels/${name}/main.css`, out: name },
      ]),
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: !demo,
  sourcemap: demo ? "inline" : false,
  legalComments: "none",
  charset: "utf8",
  logLevel: "info",
};

await mkdir(outdir, { recursive: true });
if (flags.has("--watch") || flags.has("--serve")) {
  const context = await esbuild.context(options);
  await context.watch();
  if (flags.has("--serve")) {
    const { port } = await context.serve({ servedir: resolve(here, "demo"), host: "127.0.0.1" });
    console.log(`demo: http://127.0.0.1:${port}/`);
  }
} else {
  await esbuild.build(options);
  for (const name of demo ? [] : bundles) {
    const sizes = await Promise.all(
      [`${name}.js`, `${name}.css`].map(async (file) => {
        const gzipped = gzipSync(await readFile(resolve(outdir, file))).length;
        return `${file} ${(gzipped / 1000).toFixed(1)} kB gzipped`;
      }),
    );
    console.log(sizes.join(", "));
  }
}
