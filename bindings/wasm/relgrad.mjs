// relgrad in Node and in browsers: typed arrays in, typed arrays out, the bits of the native library.
//
//     const relgrad = await load(bytes); // of relgrad.wasm, or fetch("relgrad.wasm")
//     const model = new relgrad.Model(2, 4, { optimizer: "natural", max_batch: 20 });
//
// A batch is a Float32Array (Float64Array for models in double) of rows, one after the other. Each
// model is an instance of the module with memory of its own, which the garbage collector frees.

const CHOICES = {
  activation: ["smooth_leaky_relu", "leaky_tanh", "identity", "tanh_mixture", "bend"],
  base: ["normal", "sech", "logistic"],
  bias: ["none", "separate", "affine", "projected"],
  gradient: ["relative", "transposed", "ordinary"],
  optimizer: ["sgd", "adam", "natural"],
  crossing: ["guard", "allow"],
  log_det: ["exact", "lazy"],
  condition: ["none", "numbers", "classes"],
  conditioned: ["latents", "layers", "both"],
};
const STARTS = ["orthogonal", "identity", "whitened", "standardized", "aligned", "uniform", "normal"];

// The fields of relgrad_config, relgrad_sizes and relgrad_report in order. They have no padding.
const CONFIG = new Map();
let configBytes = 0;
for (const [bytes, names] of [
  [4, ["struct_size", "dim", "layers", "max_batch", "activation", "final_activation", "base", "bias",
    "input_transform", "gradient", "optimizer", "crossing", "log_det", "track_inverse", "report_norms", "level"]],
  [8, ["activation_a", "activation_b", "momentum", "beta1", "beta2", "epsilon", "decay", "damping", "clip",
    "curve_rate"]],
  [4, ["condition", "condition_len", "conditioned", "reserved"]],
  [8, ["condition_rate"]],
]) {
  for (const name of names) {
    CONFIG.set(name, { at: configBytes, bytes });
    configBytes += bytes;
  }
}
const SIZES = ["params_len", "gradient_len", "factors_len", "state_bytes", "workspace_bytes", "refresh_bytes",
  "start_bytes", "factorization_bytes"];
const REPORT = ["mean_log_likelihood", "base_density", "log_slopes", "log_det", "log_det_age",
  "relative_gradient_norm", "mean_delta_norm", "trust_scale", "curve_gradient_norm"];

// A refused call; `status` is that of relgrad.h.
export class RelgradError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// The library, from the bytes of relgrad.wasm or what fetch gives for it.
export async function load(source) {
  source = await source;
  const bytes = typeof Response === "function" && source instanceof Response ? await source.arrayBuffer() : source;
  const module = await WebAssembly.compile(bytes);
  return {
    Model: class extends Model { static module = module; },
    Alarm: class extends Alarm { static module = module; },
  };
}

// An instance of the module and its memory.
class Instance {
  constructor() {
    const abort = () => { throw new Error("relgrad: this is a defect, report it"); };
    this.c = new WebAssembly.Instance(this.constructor.module, { env: { abort } }).exports;
    this.end = this.c.__heap_base.value;
  }
  get view() {
    return new DataView(this.c.memory.buffer);
  }
  allocate(bytes) {
    const at = (this.end + 63) & ~63;
    this.end = at + bytes;
    const missing = this.end - this.c.memory.buffer.byteLength;
    if (missing > 0) this.c.memory.grow(Math.ceil(missing / 65536));
    return at;
  }
  structure(bytes) {
    const at = this.allocate(bytes);
    new Uint8Array(this.c.memory.buffer, at, bytes).fill(0);
    this.view.setUint32(at, bytes, true);
    return at;
  }
  // Memory that is kept from call to call.
  room(bytes, name) {
    if ((this[name]?.bytes ?? -1) < bytes) this[name] = { at: this.allocate(bytes), bytes };
    return this[name].at;
  }
  check(status) {
    if (status === 0) return;
    const text = this.room(256, "message");
    if (this.context) this.call("message", this.context, text, 256);
    const own = this.context ? this.text(text) : "";
    throw new RelgradError(status, own || this.text(this.c.relgrad_status_string(status)));
  }
  text(at) {
    const bytes = new Uint8Array(this.c.memory.buffer, at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
}

class Model extends Instance {
  // Settings are the fields of relgrad_config, names where C has constants; `double: true` for numbers
  // in double. With `condition: "numbers"` or "classes", and their count as `condition_len`, it is
  // p(x | u): calls then take the numbers of u, row after row, or one class a row, counted from 0.
  constructor(dim, layers, { double = false, ...settings } = {}) {
    super();
    this.suffix = double ? "_f64" : "";
    this.Numbers = double ? Float64Array : Float32Array;
    [this.dim, this.layers] = [dim, layers];

    const config = this.structure(configBytes);
    this.check(this.c.relgrad_config_default(config, dim, layers));
    for (let [name, value] of Object.entries(settings)) {
      const field = CONFIG.get(name);
      if (!field?.at) throw new TypeError(`relgrad_config has no field ${name}`);
      if (typeof value === "string") {
        const choice = CHOICES[name]?.indexOf(value) ?? -1;
        if (choice < 0) throw new TypeError(`${name} is one of ${CHOICES[name]}, not ${value}`);
        value = choice;
      }
      if (field.bytes === 4) this.view.setUint32(config + field.at, Number(value), true);
      else this.view.setFloat64(config + field.at, value, true);
    }
    const word = (name) => this.view.getUint32(config + CONFIG.get(name).at, true);
    const text = this.allocate(256);
    const status = this.c.relgrad_config_check(config, text, 256);
    if (status !== 0) throw new RelgradError(status, this.text(text));
    this.maxBatch = word("max_batch");
    this.width = [0, word("condition_len"), 1][word("condition")];

    const sizes = this.structure(8 + 4 * SIZES.length);
    this.check(this.call("query_sizes", config, sizes));
    this.sizes = Object.fromEntries(SIZES.map((name, i) => [name, this.view.getUint32(sizes + 8 + 4 * i, true)]));
    const s = this.sizes;
    const state = this.allocate(s.state_bytes), workspace = this.allocate(s.workspace_bytes);
    this.p = this.allocate(s.params_len * this.Numbers.BYTES_PER_ELEMENT);
    this.scratch = this.allocate(Math.max(s.refresh_bytes, s.start_bytes));
    this.factors = 0;
    const out = this.allocate(8);
    this.check(this.call("init", config, state, s.state_bytes, workspace, s.workspace_bytes, out));
    this.context = this.view.getUint32(out, true);
    // What calls write besides.
    this.report = this.structure(8 + 8 * REPORT.length);
    this.batch = this.structure(44);
  }

  // The parameters as they are, good until the model takes more memory.
  get params() {
    return new this.Numbers(this.c.memory.buffer, this.p, this.sizes.params_len);
  }

  // "orthogonal", "identity", or independent weights, "uniform" or "normal"; with data of any number of rows
  // "whitened", "standardized" or "aligned", which need input_transform.
  start(how = "orthogonal", { seed = 0, data = null, ridge = 1e-6 } = {}) {
    this.factored = false;
    const which = STARTS.indexOf(how);
    if (which < 0) throw new TypeError(`a start is one of ${STARTS}, not ${how}`);
    if (data === null) {
      this.onParams("params_init", which, BigInt(seed));
      if (how === "uniform" || how === "normal") this.refresh();
      return;
    }
    this.onParams("params_init_data", this.rows(data), which, BigInt(seed), ridge, this.scratch,
      this.sizes.start_bytes);
  }

  // One ascent step on at most max_batch rows: what relgrad_report says.
  step(batch, rate, condition) {
    this.factored = false;
    this.onParams("step", this.rows(batch, condition), rate, this.report);
    const word = (name, i) => name === "log_det_age" ? Number(this.view.getBigUint64(this.report + 8 + 8 * i, true))
      : this.view.getFloat64(this.report + 8 + 8 * i, true);
    return Object.fromEntries(REPORT.map((name, i) => [name, word(name, i)]));
  }

  // Makes the log-determinants exact, after steps of Adam or when params were changed.
  refresh() {
    this.factored = false;
    this.onParams("refresh", this.scratch, this.sizes.refresh_bytes, 0);
  }

  // log p of every row, in nats: a Float64Array.
  logLikelihood(x, condition) {
    return this.onRows("log_likelihood", x, condition, new Float64Array(x.length / this.dim), 1);
  }

  // The latents of every row. They need a condition only where layers depend on it.
  forward(x, condition) {
    return this.onRows("forward", x, condition, new this.Numbers(x.length), this.dim);
  }

  // The derivatives of log p by the features of every row.
  inputGradient(x, condition) {
    return this.onRows("input_gradient", x, condition, new this.Numbers(x.length), this.dim, 0, 0);
  }

  // Rows number `first` to `first + rows` of the samples that belong to a seed, each with a condition
  // of its own where there are conditions.
  sample(rows, seed = 0, first = 0, condition) {
    const x = new this.Numbers(rows * this.dim);
    const bytes = this.sizes.factorization_bytes;
    this.factors ||= this.allocate(bytes);
    if (!this.factored) this.onParams("factorize", this.factors, bytes);
    this.factored = true;
    for (let at = 0; at < rows; at += this.maxBatch) {
      const n = Math.min(this.maxBatch, rows - at);
      const out = this.room(n * this.dim * x.BYTES_PER_ELEMENT, "out");
      const given = this.given(condition, at, n);
      this.onParams("sample_given", this.factors, bytes, BigInt(seed), BigInt(first + at), n, given,
        given ? n * this.width : 0, out, n * this.dim, 0);
      x.set(new this.Numbers(this.c.memory.buffer, out, n * this.dim), at * this.dim);
    }
    return x;
  }

  // -- within ------------------------------------------------------------------------------

  // The address of the conditions of `rows` rows from row `at` on; 0 without conditions.
  given(condition, at, rows) {
    if (condition == null) return 0;
    const u = this.Numbers.from(condition).subarray(at * this.width, (at + rows) * this.width);
    if (this.width > 0 && u.length !== rows * this.width) {
      throw new TypeError(`conditions are ${this.width} numbers a row`);
    }
    const to = this.room(Math.max(u.byteLength, 8), "conditions");
    new this.Numbers(this.c.memory.buffer, to, u.length).set(u);
    return to;
  }
  // The address of a batch of these rows.
  rows(x, condition) {
    if (!(x instanceof this.Numbers) || x.length % this.dim !== 0) {
      throw new TypeError(`rows are a ${this.Numbers.name} of ${this.dim} numbers each`);
    }
    const at = this.room(x.byteLength, "in");
    new this.Numbers(this.c.memory.buffer, at, x.length).set(x);
    const given = this.given(condition, 0, x.length / this.dim);
    this.view.setUint32(this.batch + 36, given, true);
    this.view.setUint32(this.batch + 8, at, true);
    this.view.setUint32(this.batch + 12, x.length / this.dim, true);
    return this.batch;
  }
  onRows(name, x, condition, out, each, ...more) {
    const Out = out.constructor;
    condition &&= this.Numbers.from(condition);
    for (let at = 0; at < x.length / this.dim; at += this.maxBatch) {
      const part = x.subarray(at * this.dim, (at + this.maxBatch) * this.dim);
      const n = part.length / this.dim * each, to = this.room(n * 8, "out");
      const given = condition?.subarray(at * this.width, (at + this.maxBatch) * this.width);
      this.onParams(name, this.rows(part, given), to, n, ...more);
      out.set(new Out(this.c.memory.buffer, to, n), at * each);
    }
    return out;
  }
  onParams(name, ...more) {
    this.check(this.call(name, this.context, this.p, this.sizes.params_len, ...more));
  }
  call(name, ...args) {
    return this.c[`relgrad_${name}${this.suffix}`](...args);
  }
}

// Anomalies of a stream: a threshold on log-likelihoods that a promised share `rate` of the rows falls
// below, also after process and model have changed. It catches up with a change within about `memory` rows.
// Score a row, see() its log-likelihood, then learn from it.
class Alarm extends Instance {
  constructor(rate, memory = 20 / rate) {
    super();
    this.raised = this.allocate(4);
    this.at = this.structure(64);
    this.check(this.c.relgrad_alarm_start(this.at, rate, memory));
  }

  // Whether a row with this log-likelihood is an anomaly.
  see(logP) {
    this.check(this.c.relgrad_alarm_see(this.at, logP, this.raised));
    return this.view.getInt32(this.raised, true) === 1;
  }
}
