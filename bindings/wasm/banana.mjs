// The example of every language: `node banana.mjs relgrad.wasm`.
import { readFile } from "node:fs/promises";
import { load } from "./relgrad.mjs";

let seed = 1;
const uniform = () => { // 0 to 1023, from a 31-bit generator
  seed = seed * 16807 % 2147483647;
  return Math.floor(seed / 2097152);
};
const x = new Float32Array(4000);
for (let i = 0; i < 2000; i++) {
  const t = (uniform() - 512) / 256;
  x.set([t, t * t + (uniform() + uniform() - 1024) / 1024], 2 * i);
}

const relgrad = await load(await readFile(process.argv[2]));
const model = new relgrad.Model(2, 4, { optimizer: "natural", max_batch: 20, input_transform: true });
model.start("whitened", { seed: 1, data: x });
for (let epoch = 0; epoch < 20; epoch++) {
  for (let i = 0; i < 4000; i += 40) model.step(x.subarray(i, i + 40), 0.05);
}
model.refresh();

const show = (v) => v.toFixed(4).padStart(8);
console.log("mean log-likelihood " + show(model.logLikelihood(x).reduce((sum, v) => sum + v, 0) / 2000));
const [on, off] = model.logLikelihood(new Float32Array([1, 1, 1, 3]));
console.log(`log-density on the curve ${show(on)}, off it ${show(off)}`);
console.log("a sample " + [...model.sample(1, 7)].map(show).join(" "));
let hash = 2166136261;
for (const word of new Uint32Array(model.params.buffer, model.params.byteOffset, model.params.length)) {
  hash = Math.imul(hash ^ word, 16777619) >>> 0;
}
console.log("parameters " + hash.toString(16).toUpperCase().padStart(8, "0"));
