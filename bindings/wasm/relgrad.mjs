// relgrad in Node and in browsers: typed arrays in, typed arrays out, the bits of the native library.
//
//     const relgrad = await load(bytes); // of relgrad.wasm, or fetch("relgrad.wasm")
//     const model = new relgrad.Model(2, 4, { optimizer: "natural", max_batch: 20 });
//
// A batch is a Float32Array (Float64Array for models in double) of rows, one after the other. Each
// model is an instance of the module with memory of its own, which the garbage collector frees.

const CHOICES = {
  activation: ["smooth_leaky_relu", "leaky_tanh", "identity", "tanh_mixture"],
  base: ["normal", "sech", "logistic"],
  bias: ["none", "separate", "affine", "projected"],
  gradient: ["relative", "transposed", "ordinary"],
  optimizer: ["sgd", "adam", "natural"],
  crossing: ["guard", "allow"],
  log_det: ["exact", "lazy"],
};
const STARTS = ["orthogonal", "identity", "whitened", "standardized", "aligned"];

// relgrad_config, relgrad_sizes, relgrad_batch, relgrad_report: fields in order. They have no padding.
const WORDS = ["struct_size", "dim", "layers", "max_batch", "activation", "final_activation", "base", "bias",
  "input_transform", "gradient", "optimizer", "crossing", "log_det", "track_inverse", "report_norms", "level"];
const NUMBERS = ["activation_a", "activation_b", "momentum", "beta1", "beta2", "epsilon", "decay", "damping",
  "clip", "curve_rate"];
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
  return { Model: class extends Model { static module = module; } };
}

class Model {
  // Settings are the fields of relgrad_config, names where C has constants; `double: true` for numbers
  // in double.
  constructor(dim, layers, { double = false, ...settings } = {}) {
    const abort = () => { throw new Error("relgrad: this is a defect, report it"); };
    this.c = new WebAssembly.Instance(this.constructor.module, { env: { abort } }).exports;
    this.suffix = double ? "_f64" : "";
    this.Numbers = double ? Float64Array : Float32Array;
    this.end = this.c.__heap_base.value;
    [this.dim, this.layers] = [dim, layers];

    const config = this.structure(WORDS.length * 4 + NUMBERS.length * 8);
    this.check(this.c.relgrad_config_default(config, dim, layers));
    for (let [name, value] of Object.entries(settings)) {
      const [word, number] = [WORDS.indexOf(name), NUMBERS.indexOf(name)];
      if (word < 1 && number < 0) throw new TypeError(`relgrad_config has no field ${name}`);
      if (typeof value === "string") {
        const choice = CHOICES[name]?.indexOf(value) ?? -1;
        if (choice < 0) throw new TypeError(`${name} is one of ${CHOICES[name]}, not ${value}`);
        value = choice;
      }
      if (word > 0) this.view.setUint32(config + 4 * word, Number(value), true);
      else this.view.setFloat64(config + 4 * WORDS.length + 8 * number, value, true);
    }
    const text = this.allocate(256);
    const status = this.c.relgrad_config_check(config, text, 256);
    if (status !== 0) throw new RelgradError(status, this.text(text));
    this.maxBatch = this.view.getUint32(config + 4 * WORDS.indexOf("max_batch"), true);

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
    this.batch = this.structure(36);
  }

  // The parameters as they are, good until the model takes more memory.
  get params() {
    return new this.Numbers(this.c.memory.buffer, this.p, this.sizes.params_len);
  }

  // "orthogonal" or "identity"; with data of any number of rows "whitened", "standardized" or "aligned",
  // which need input_transform.
  start(how = "orthogonal", { seed = 0, data = null, ridge = 1e-6 } = {}) {
    this.factored = false;
    const which = STARTS.indexOf(how);
    if (which < 0) throw new TypeError(`a start is one of ${STARTS}, not ${how}`);
    if (data === null) return this.onParams("params_init", which, BigInt(seed));
    this.onParams("params_init_data", this.rows(data), which, BigInt(seed), ridge, this.scratch,
      this.sizes.start_bytes);
  }

  // One ascent step on at most max_batch rows: what relgrad_report says.
  step(batch, rate) {
    this.factored = false;
    this.onParams("step", this.rows(batch), rate, this.report);
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
  logLikelihood(x) {
    return this.onRows("log_likelihood", x, new Float64Array(x.length / this.dim), 1);
  }

  // The latents of every row.
  forward(x) {
    return this.onRows("forward", x, new this.Numbers(x.length), this.dim);
  }

  // The derivatives of log p by the features of every row.
  inputGradient(x) {
    return this.onRows("input_gradient", x, new this.Numbers(x.length), this.dim, 0, 0);
  }

  // Rows number `first` to `first + rows` of the samples that belong to a seed.
  sample(rows, seed = 0, first = 0) {
    const x = new this.Numbers(rows * this.dim);
    const bytes = this.sizes.factorization_bytes;
    this.factors ||= this.allocate(bytes);
    if (!this.factored) this.onParams("factorize", this.factors, bytes);
    this.factored = true;
    for (let at = 0; at < rows; at += this.maxBatch) {
      const n = Math.min(this.maxBatch, rows - at);
      const out = this.room(n * this.dim * x.BYTES_PER_ELEMENT, "out");
      this.onParams("sample", this.factors, bytes, BigInt(seed), BigInt(first + at), n, out, n * this.dim, 0);
      x.set(new this.Numbers(this.c.memory.buffer, out, n * this.dim), at * this.dim);
    }
    return x;
  }

  // -- within ------------------------------------------------------------------------------

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
  // The address of a batch of these rows.
  rows(x) {
    if (!(x instanceof this.Numbers) || x.length % this.dim !== 0) {
      throw new TypeError(`rows are a ${this.Numbers.name} of ${this.dim} numbers each`);
    }
    const at = this.room(x.byteLength, "in");
    new this.Numbers(this.c.memory.buffer, at, x.length).set(x);
    this.view.setUint32(this.batch + 8, at, true);
    this.view.setUint32(this.batch + 12, x.length / this.dim, true);
    return this.batch;
  }
  onRows(name, x, out, each, ...more) {
    const Out = out.constructor;
    for (let at = 0; at < x.length / this.dim; at += this.maxBatch) {
      const part = x.subarray(at * this.dim, (at + this.maxBatch) * this.dim);
      const n = part.length / this.dim * each, to = this.room(n * 8, "out");
      this.onParams(name, this.rows(part), to, n, ...more);
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
