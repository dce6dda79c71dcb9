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
  for (const [start, largest] of [["uniform", 1 / Math.sqrt(3)], ["normal", 3]]) {
    other.start(start, { seed: 1 });
    assert(other.params.subarray(0, 9).every((w) => w !== 0 && Math.abs(w) <= largest), start);
    assert(other.logLikelihood(x).every(Number.isFinite), start);
  }
}

// Conditions: a class is a vector with a 1, and samples have the location of theirs.
for (const double of [false, true]) {
  const Numbers = double ? Float64Array : Float32Array;
  const settings = { double, activation: "identity", optimizer: "natural", max_batch: 20, input_transform: true,
    condition_len: 2 };
  const models = ["classes", "numbers"].map((condition) => new relgrad.Model(1, 1, { ...settings, condition }));
  const classes = Array.from({ length: 400 }, (_, i) => i % 2);
  const given = [classes, classes.flatMap((c) => [1 - c, c])];
  const x = Numbers.from(classes, (c, i) => 5 * c + Math.sin(i * i));
  for (const [i, model] of models.entries()) {
    model.start("standardized", { data: x });
    for (let at = 0; at < 4000; at += 20) {
      const from = at % 400, width = i + 1;
      model.step(x.subarray(from, from + 20), 0.05, given[i].slice(from * width, (from + 20) * width));
    }
    model.refresh();
  }
  assert.deepEqual(models[0].params, models[1].params);
  const logP = models.map((model, i) => model.logLikelihood(x, given[i]));
  assert.deepEqual(logP[0], logP[1]);
  const mean = (v) => v.reduce((a, b) => a + b) / v.length;
  const means = [0, 1].map((c) => mean(models[0].sample(1000, 3, 0, new Array(1000).fill(c))));
  assert(Math.abs(means[0]) < 0.2 && Math.abs(means[1] - 5) < 0.2, `${means}`);
  refused(() => models[0].logLikelihood(x), "condition", -33);
  refused(() => models[0].logLikelihood(x, classes.map((c) => 2 * c)), "condition", -33);
  refused(() => models[0].sample(10), "condition", -33);
  assert.throws(() => models[0].logLikelihood(x, [0, 1]), TypeError);
  assert.throws(() => models[1].step(x.subarray(0, 2), 0.1, [0, 1]), TypeError);
}

// An alarm over a stream that drifts.
refused(() => new relgrad.Alarm(0.7), "out of range", -25);
const alarm = new relgrad.Alarm(0.05);
let raised = 0, seed = 1;
for (let i = 0; i < 80000; i++) {
  seed = seed * 16807 % 2147483647;
  const is = alarm.see(-2 * i / 40000 + Math.log(seed / 2147483647));
  raised += i >= 40000 && is ? 1 : 0;
}
assert(Math.abs(raised / 40000 / 0.05 - 1) < 0.1, `${raised}`);
assert(alarm.see(-Infinity) && !alarm.see(-4));
console.log("ok: relgrad.mjs");
