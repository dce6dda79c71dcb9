// What relgrad.mjs promises: `node wasm.mjs relgrad.wasm`.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { load, RelgradError } from "../wasm/relgrad.mjs";

const bytes = await readFile(process.argv[2]);
assert.deepEqual(WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map((i) => i.name), ["abort"]);
const relgrad = await load(bytes);

const refused = (call, word, status) => assert.throws(call, (e) => e instanceof RelgradError
  && e.message.includes(word) && e.status === status);
refused(() => new relgrad.Model(0, 2), "dim", -20);
refused(() => new relgrad.Model(3, 2, { beta1: 2 }), "beta1", -26);
assert.throws(() => new relgrad.Model(3, 2, { optimizer: "best" }), TypeError);
assert.throws(() => new relgrad.Model(3, 2, { struct_size: 1 }), TypeError);

for (const double of [false, true]) {
  const Numbers = double ? Float64Array : Float32Array;
  const model = new relgrad.Model(3, 2, { double, optimizer: "adam", max_batch: 5, report_norms: true });
  const x = Numbers.from({ length: 33 }, (_, i) => Math.sin(i * i));
  const batch = x.subarray(0, 15);
  refused(() => model.step(batch, 0.1), "state", -51);
  model.start("orthogonal", { seed: 1 });
  refused(() => model.step(x, 0.1), "rows", -22);
  assert.throws(() => model.step(x.subarray(1, 3), 0.1), TypeError);
  assert.throws(() => model.step([1, 2, 3], 0.1), TypeError);
  const before = model.step(batch, 0.01);
  for (let i = 0; i < 30; i++) model.step(batch, 0.01);
  const after = model.step(batch, 0.01);
  assert(after.mean_log_likelihood > before.mean_log_likelihood && after.log_det_age === 31);
  refused(() => model.logLikelihood(x), "state", -51);
  model.refresh();

  // Eleven rows in batches of five, each as by itself.
  const logP = model.logLikelihood(x), slopes = model.inputGradient(x);
  assert.equal(logP.length, 11);
  assert.equal(model.logLikelihood(x.subarray(27, 30))[0], logP[9]);
  for (const i of [0, 16, 32]) {
    const h = double ? 1e-5 : 1e-2, side = (by) => {
      const moved = x.slice();
      moved[i] += by;
      return model.logLikelihood(moved)[Math.floor(i / 3)];
    };
    const slope = (side(h) - side(-h)) / (2 * h);
    assert(Math.abs(slope - slopes[i]) < (double ? 1e-7 : 2e-2) * (1 + Math.abs(slope)), `${slope} ${slopes[i]}`);
  }
  assert.deepEqual(model.sample(12, 5).subarray(21), model.sample(5, 5, 7));
  assert.equal(model.forward(x).length, 33);
  // Another model has memory of its own.
  const other = new relgrad.Model(3, 2, { double, max_batch: 5 });
  other.start("orthogonal", { seed: 1 });
  assert.deepEqual(model.logLikelihood(x), logP);
}
console.log("ok: relgrad.mjs");
