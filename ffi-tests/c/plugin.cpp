// A C++ host: memory by RAII, a density of its own through a callback, sample weights, and the
// factors of two parts gathered into one step.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "check.h"
#include "precision.h"

namespace {

struct Free {
    void operator()(void *p) const { std::free(p); }
};

// Bytes at a multiple of RELGRAD_ALIGNMENT.
class Aligned {
  public:
    explicit Aligned(std::size_t bytes)
        : memory_(std::aligned_alloc(RELGRAD_ALIGNMENT, bytes)), bytes_(bytes) {
        CHECK(memory_ != nullptr, "no memory");
        std::memset(memory_.get(), 0, bytes);
    }
    void *data() const { return memory_.get(); }
    std::size_t size() const { return bytes_; }
    std::vector<unsigned char> copy() const {
        const unsigned char *p = static_cast<const unsigned char *>(data());
        return std::vector<unsigned char>(p, p + bytes_);
    }

  private:
    std::unique_ptr<void, Free> memory_;
    std::size_t bytes_;
};

relgrad_sizes sizes_of(const relgrad_config &config) {
    SIZED(relgrad_sizes, sizes);
    OK(R(query_sizes)(&config, &sizes));
    return sizes;
}

// A model with orthogonal weights.
class Model {
  public:
    explicit Model(const relgrad_config &config)
        : sizes(sizes_of(config)), params(sizes.params_len), state(sizes.state_bytes),
          workspace_(sizes.workspace_bytes) {
        OK(R(init)(&config, state.data(), state.size(), workspace_.data(), workspace_.size(),
                   &context));
        OK(R(params_init)(context, params.data(), params.size(), RELGRAD_INIT_ORTHOGONAL, 5));
    }
    int32_t step(const R(batch) & batch, double rate, relgrad_report *report) {
        return R(step)(context, params.data(), params.size(), &batch, rate, report);
    }
    std::vector<double> log_likelihood(const R(batch) & batch) {
        std::vector<double> log_p(batch.rows);
        OK(R(log_likelihood)(context, params.data(), params.size(), &batch, log_p.data(),
                             log_p.size()));
        return log_p;
    }

    const relgrad_sizes sizes;
    std::vector<number> params;
    Aligned state;
    R(context) *context = nullptr;

  private:
    Aligned workspace_;
};

constexpr uint32_t kDim = 6, kLayers = 3, kBatch = 12;
constexpr double kTolerance = sizeof(number) == 4 ? 1e-5 : 1e-13;

relgrad_config config_of(uint32_t optimizer, uint32_t base) {
    SIZED(relgrad_config, config);
    OK(relgrad_config_default(&config, kDim, kLayers));
    fix_curves(&config);
    config.max_batch = kBatch;
    config.optimizer = optimizer;
    config.base = base;
    return config;
}

R(batch) batch_of(const number *x, std::size_t rows) {
    SIZED(R(batch), batch);
    batch.x = x;
    batch.rows = rows;
    return batch;
}

std::vector<number> data() {
    std::vector<number> x(kDim * kBatch);
    for (std::size_t i = 0; i < x.size(); i++) {
        x[i] = static_cast<number>(2.0 * std::sin(1.7 * static_cast<double>(i * i + 1)));
    }
    return x;
}

// The logistic density's own formula, as a density of the host's.
class Logistic {
  public:
    // Fails at this row, if any.
    std::size_t fails_at = SIZE_MAX;
    std::size_t calls = 0;

    static int32_t evaluate(void *user, std::size_t sample, const number *z, number *log_density,
                            number *score, std::size_t dim) noexcept {
        Logistic &self = *static_cast<Logistic *>(user);
        self.calls++;
        for (std::size_t i = 0; i < dim; i++) {
            const double e = std::exp(-std::fabs(static_cast<double>(z[i])));
            log_density[i] = static_cast<number>(-std::fabs(z[i]) - 2.0 * std::log1p(e));
            score[i] = static_cast<number>(-std::tanh(z[i] / 2.0));
        }
        return sample == self.fails_at ? 1 : 0;
    }
};

bool close(double a, double b) {
    return std::fabs(a - b) <= kTolerance * std::max(1.0, std::fabs(b));
}

void custom_density() {
    Logistic logistic;
    const std::vector<number> x = data();
    R(batch) batch = batch_of(x.data(), kBatch);
    Model built_in(config_of(RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_LOGISTIC));
    Model custom(config_of(RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_CUSTOM));
    const std::vector<double> expected = built_in.log_likelihood(batch);
    batch.base = Logistic::evaluate;
    batch.user = &logistic;
    const std::vector<double> got = custom.log_likelihood(batch);
    CHECK(logistic.calls == kBatch, "once a row, not %zu times", logistic.calls);
    for (std::size_t i = 0; i < kBatch; i++) {
        CHECK(close(got[i], expected[i]), "row %zu: %.9g, not %.9g", i, got[i], expected[i]);
    }
    // Scores too: training takes the same way.
    SIZED(relgrad_report, a);
    SIZED(relgrad_report, b);
    for (int i = 0; i < 20; i++) {
        OK(built_in.step(batch, 0.05, &a));
        OK(custom.step(batch, 0.05, &b));
    }
    CHECK(close(b.mean_log_likelihood / 20, a.mean_log_likelihood / 20), "%.9g, not %.9g",
          b.mean_log_likelihood, a.mean_log_likelihood);

    // A failure in the middle of a batch ends the call and changes nothing.
    const std::vector<number> params = custom.params;
    const std::vector<unsigned char> state = custom.state.copy();
    const relgrad_report report = b;
    logistic.fails_at = 4;
    RETURNS(RELGRAD_ERR_CALLBACK, custom.step(batch, 0.05, &b));
    char text[200];
    OK(R(message)(custom.context, text, sizeof text));
    CHECK(std::strstr(text, "`base` = 4") != nullptr, "%s", text);
    CHECK(custom.params == params && custom.state.copy() == state, "something was changed");
    CHECK(std::memcmp(&report, &b, sizeof b) == 0, "the report was changed");
    logistic.fails_at = SIZE_MAX;
    OK(custom.step(batch, 0.05, &b));
}

void sample_weights() {
    // Weight 2 is the row twice; the scale of all weights does not matter.
    const std::vector<number> x = data();
    std::vector<number> twice(x.begin(), x.begin() + kDim * 6);
    twice.insert(twice.end(), x.begin() + kDim * 5, x.begin() + kDim * 6);
    const number weights[] = {3, 3, 3, 3, 3, 6};
    Model weighted(config_of(RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_NORMAL));
    Model repeated(config_of(RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_NORMAL));
    R(batch) batch = batch_of(x.data(), 6);
    batch.weights = weights;
    SIZED(relgrad_report, a);
    SIZED(relgrad_report, b);
    OK(weighted.step(batch, 0.05, &a));
    OK(repeated.step(batch_of(twice.data(), 7), 0.05, &b));
    CHECK(close(a.mean_log_likelihood, b.mean_log_likelihood), "%.9g, not %.9g",
          a.mean_log_likelihood, b.mean_log_likelihood);
    for (std::size_t i = 0; i < weighted.params.size(); i++) {
        CHECK(close(weighted.params[i], repeated.params[i]), "parameter %zu", i);
    }
}

void two_parts(uint32_t optimizer, bool weighted) {
    const std::vector<number> x = data();
    std::vector<number> weights(kBatch);
    for (std::size_t i = 0; i < kBatch; i++) {
        weights[i] = static_cast<number>(1 + i % 3);
    }
    const number *w = weighted ? weights.data() : nullptr;
    const relgrad_config config = config_of(optimizer, RELGRAD_BASE_SECH);
    Model one(config), left(config), right(config);
    const std::size_t sample = one.sizes.factors_len, part = kBatch / 3;
    for (int i = 0; i < 5; i++) {
        R(batch) whole = batch_of(x.data(), kBatch);
        whole.weights = w;
        SIZED(relgrad_report, a);
    SIZED(relgrad_report, b);
        OK(one.step(whole, 0.05, &a));

        // Each part is differentiated by a process of its own ...
        std::vector<number> factors(kBatch * sample);
        SIZED(relgrad_totals, totals);
        R(batch) first = batch_of(x.data(), part);
        R(batch) rest = batch_of(x.data() + kDim * part, kBatch - part);
        first.weights = w;
        rest.weights = weighted ? w + part : nullptr;
        OK(R(factors)(left.context, left.params.data(), left.params.size(), &first, factors.data(),
                      part * sample, &totals));
        OK(R(factors)(right.context, right.params.data(), right.params.size(), &rest,
                      factors.data() + part * sample, (kBatch - part) * sample, &totals));
        // ... and both take the same step with the gathered rows.
        for (Model *m : {&left, &right}) {
            OK(R(apply_factors)(m->context, m->params.data(), m->params.size(), factors.data(),
                                factors.size(), kBatch, w, &totals, 0.05, &b));
            CHECK(m->params == one.params, "parameters differ in step %d", i);
            CHECK(m->state.copy() == one.state.copy(), "states differ in step %d", i);
        }
        CHECK(close(b.mean_log_likelihood, a.mean_log_likelihood), "%.9g, not %.9g",
              b.mean_log_likelihood, a.mean_log_likelihood);
        CHECK(b.log_det == a.log_det && b.trust_scale == a.trust_scale, "reports differ");
    }
}

}  // namespace

int main() {
    custom_density();
    sample_weights();
    for (uint32_t optimizer = RELGRAD_OPTIMIZER_SGD; optimizer <= RELGRAD_OPTIMIZER_NATURAL;
         optimizer++) {
        two_parts(optimizer, false);
        two_parts(optimizer, true);
    }
    std::puts("a C++ host works");
    return 0;
}
