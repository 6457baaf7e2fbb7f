import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vitest/config";

const OUT = fileURLToPath(new URL("../recon_stream/web/dashboard", import.meta.url));

/** Writes file.gz beside each text file of the build, so that the server never compresses the same bytes twice. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    // what is written is final; Vite still changes the bundle before
    async writeBundle(_, bundle) {
      for (const name of Object.keys(bundle).filter((each) => /\.(js|css)$/.test(each))) {
        await writeFile(join(OUT, `${name}.gz`), gzipSync(await readFile(join(OUT, name)), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/dashboard/",
  plugins: [react(), tailwindcss(), compressed()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    // the Python package serves it from there
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    // the content security policy allows no data: for fonts and scripts
    assetsInlineLimit: 0,
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test/setup.ts"],
    testTimeout: 30_000,
    // an environment for each process, not for each file, costs a quarter; a file puts back what it changes
    isolate: false,
    unstubGlobals: true,
  },
});
