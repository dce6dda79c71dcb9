// What relgrad.hpp promises: errors of either kind, views, custom densities, memory of the
// caller's, aligned memory of a model's own, threads of the caller's, no allocation after a model
// is made, what is left of a model that was moved, blobs, conditions, alarms, exceptions of
// callbacks. With -fno-exceptions only the codes.
#include <relgrad.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

static std::size_t allocations = 0, aligned_bytes = 0;

void *operator new(std::size_t n, std::align_val_t a, const std::nothrow_t &) noexcept {
    allocations++;
    aligned_bytes += n;
    const std::size_t align = static_cast<std::size_t>(a);
    return std::aligned_alloc(align, (n + align - 1) / align * align);
}
void *operator new(std::size_t n) {
    allocations++;
    void *p = std::malloc(n);
    if (p == nullptr) {
        std::abort();
    }
    return p;
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, std::size_t) noexcept { std::free(p); }
void operator delete(void *p, std::align_val_t) noexcept { std::free(p); }

#define CHECK(condition)                                                                       \
    ((condition) ? void() : (std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition), std::exit(1)))

static relgrad::config plain(std::uint32_t dim, std::uint32_t layers) {
    relgrad::config c(dim, layers);
    c.activation = RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU;
    c.activation_a = 0.3;
    c.final_activation = 0;
    c.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    c.max_batch = 4;
    return c;
}

template <class X>
static bool lies_at_multiple(relgrad::view<X> memory, std::size_t of) {
    return reinterpret_cast<std::uintptr_t>(memory.data()) % of == 0;
}

template <class T>
static void codes() {
    using model_type = relgrad::model<T, relgrad::codes>;
    auto refused = model_type::make(plain(0, 1));
    CHECK(!refused && refused.status() == RELGRAD_ERR_DIM);

    const std::size_t bytes_before = aligned_bytes;
    auto made = model_type::make(plain(2, 3));
    CHECK(made && made.status() == RELGRAD_OK);
    auto model = std::move(*made);
    CHECK(model_type::bytes_of(*model.sizes()) == aligned_bytes - bytes_before);
    CHECK(lies_at_multiple(model.params(), RELGRAD_ALIGNMENT));
    const std::array<T, 8> x{T(0.1), T(0.2), T(-0.3), T(0.4), T(0.5), T(-0.6), T(0.7), T(0.8)};
    const relgrad::batch<T> batch(x, 4);

    // Not started yet.
    auto early = model.step(batch, 0.1);
    CHECK(!early && early.status() == RELGRAD_ERR_LOG_DET_UNKNOWN && !model.message().empty());
    CHECK(model.init(RELGRAD_INIT_ORTHOGONAL, 1));

    const std::size_t before = allocations;
    std::array<T, 8> z{}, back{};
    std::array<double, 4> log_p{};
    std::array<T, 64> gradient{};
    for (int i = 0; i < 10; i++) {
        CHECK(model.step(batch, 0.1));
    }
    CHECK(*model.steps() == 10);
    CHECK(model.log_det()->age == 0);
    CHECK(model.gradient(batch, gradient));
    CHECK(model.forward(batch, z));
    CHECK(model.log_likelihood(batch, log_p));
    CHECK(model.factorize());
    const auto went = model.inverse(z, back);
    CHECK(went && went->residual < 1e-4);
    for (std::size_t i = 0; i < x.size(); i++) {
        CHECK(std::abs(double(back[i]) - double(x[i])) < 1e-4);
    }
    CHECK(model.sample(1, back));
    // More than max_batch are the same and more.
    std::array<T, 22> many{};
    const relgrad::view<T> drawn(many);
    CHECK(model.sample(1, many));
    CHECK(std::equal(back.begin(), back.end(), many.begin()));
    CHECK(model.sample(1, back, 7));
    CHECK(std::equal(many.begin() + 14, many.end(), back.begin()));
    CHECK(model.sample(1, drawn.subspan(0, 0)).status() == RELGRAD_ERR_BATCH);
    // Factors of both halves are the step of the whole.
    std::array<T, 4 * 2 * 2 * 3> factors{};
    auto totals = relgrad::sized<relgrad_totals>();
    const relgrad::view<const T> all(x);
    const relgrad::view<T> room(factors);
    CHECK(model.factors(relgrad::batch<T>(all.subspan(0, 4), 2), room.subspan(0, 24), totals));
    CHECK(model.factors(relgrad::batch<T>(all.subspan(4, 4), 2), room.subspan(24, 24), totals));
    CHECK(totals.weight == 4);
    CHECK(model.apply_factors(factors, 4, totals, 0.1));
    CHECK(allocations == before);

    // Views too short for their rows are seen here, before C reads past them.
    CHECK(model.step(relgrad::batch<T>(x, 5), 0.1).status() == RELGRAD_ERR_LENGTH);
    CHECK(model.message().find("too short") != std::string::npos);
    CHECK(model.step(relgrad::batch<T>(all.subspan(0, 1), 1), 0.1).status() == RELGRAD_ERR_LENGTH);
    CHECK(model.step(relgrad::batch<T>(x, 4).leading_dimension(3), 0.1).status()
          == RELGRAD_ERR_LENGTH);
    const std::array<T, 2> weights{T(1), T(2)};
    CHECK(model.step(relgrad::batch<T>(x, 4).weights(weights), 0.1).status() == RELGRAD_ERR_LENGTH);
    CHECK(model.step(relgrad::batch<T>(all.subspan(0, 4), 2).weights(weights), 0.1));
    CHECK(model.step(relgrad::batch<T>(x, 2).leading_dimension(4), 0.1));

    // Moved, it goes on.
    auto moved = std::move(model);
    CHECK(moved.step(batch, 0.1) && *moved.steps() == 14);

    // In the caller's memory: taken up again, it goes on where it was.
    const auto c = plain(2, 3);
    relgrad_sizes sizes;
    CHECK(relgrad::query_sizes<T>(c, sizes) == RELGRAD_OK);
    std::vector<T> params(sizes.params_len);
    relgrad::memory state(sizes.state_bytes), workspace(sizes.workspace_bytes);
    using session_type = relgrad::session<T, relgrad::codes>;
    const relgrad::buffers<T> buffers{params, state, workspace};
    {
        auto s = session_type::open(c, buffers);
        CHECK(s && s->init(RELGRAD_INIT_IDENTITY, 0) && s->step(batch, 0.1));
        CHECK(s->params().data() == params.data());
    }
    auto again = session_type::resume(c, buffers);
    CHECK(again && *again->steps() == 1 && again->step(batch, 0.1));

    // Accumulated parts, with an optimizer that takes them.
    auto adam_config = plain(2, 3);
    adam_config.optimizer = RELGRAD_OPTIMIZER_ADAM;
    auto adam = model_type::make(adam_config);
    CHECK(adam && adam->init(RELGRAD_INIT_IDENTITY, 0));
    std::vector<T> sums(sizes.gradient_len), other(sizes.gradient_len);
    auto a = relgrad::sized<relgrad_totals>(), b = a;
    CHECK(adam->accumulate(relgrad::batch<T>(all.subspan(0, 4), 2), sums, a));
    CHECK(adam->accumulate(relgrad::batch<T>(all.subspan(4, 4), 2), other, b));
    CHECK(adam->merge(sums, a, other, b) && a.weight == 4);
    CHECK(adam->apply(sums, a, 0.01) && *adam->steps() == 1 && adam->refresh());

    // A density of the caller's: the normal one, as the built-in has it.
    auto custom_config = plain(2, 3);
    custom_config.base = RELGRAD_BASE_CUSTOM;
    auto custom = model_type::make(custom_config);
    auto builtin = model_type::make(plain(2, 3));
    CHECK(custom && custom->init(RELGRAD_INIT_ORTHOGONAL, 1));
    CHECK(builtin && builtin->init(RELGRAD_INIT_ORTHOGONAL, 1));
    const auto normal = [](std::size_t, relgrad::view<const T> at, relgrad::view<T> log_density,
                           relgrad::view<T> score) {
        for (std::size_t i = 0; i < at.size(); i++) {
            log_density[i] = T(-0.5) * at[i] * at[i] - T(0.91893853320467274178);
            score[i] = -at[i];
        }
    };
    const auto r = custom->step(relgrad::batch<T>(x, 4).density(normal), 0.1);
    const auto q = builtin->step(batch, 0.1);
    CHECK(r && q && std::abs(r->mean_log_likelihood - q->mean_log_likelihood) < 1e-5);
#if defined(__cpp_exceptions)
    auto throws = [](std::size_t, auto, auto, auto) { throw 1; };
    CHECK(custom->step(relgrad::batch<T>(x, 4).density(throws), 0.1).status()
          == RELGRAD_ERR_CALLBACK);
#endif
}

// All calls are refused, and nothing can be reached.
template <class T, class Model>
static void is_left(Model &model) {
    CHECK(model.context() == nullptr && model.params().empty() && model.dim() == 0);
    CHECK(model.state().empty());
    std::array<T, 8> x{};
    std::array<double, 8> d{};
    std::array<unsigned char, 8> b{};
    auto totals = relgrad::sized<relgrad_totals>();
    const auto no_threads = [](std::size_t, relgrad::parts) {};
    const relgrad::batch<T> batch(x, 4);
    const relgrad::view<const T> short_weights;
    const std::int32_t statuses[] = {
        model.init(RELGRAD_INIT_ORTHOGONAL, 1).status(),
        model.init(RELGRAD_INIT_WHITENED, batch, 1).status(),
        model.refresh().status(), model.log_det().status(), model.steps().status(),
        model.level().status(), model.sizes().status(), model.weight(0).status(),
        model.bias(0).status(), model.set_parallel(no_threads, 2).status(),
        model.set_parallel(nullptr).status(), model.step(batch, 0.1).status(),
        model.step(relgrad::batch<T>(x, 4).weights(short_weights), 0.1).status(),
        model.gradient(batch, x).status(), model.accumulate(batch, x, totals).status(),
        model.merge(x, totals, x, totals).status(), model.apply(x, totals, 0.1).status(),
        model.factors(batch, x, totals).status(), model.apply_factors(x, 4, totals, 0.1).status(),
        model.apply_factors(x, 9, totals, 0.1, x).status(), model.forward(batch, x).status(),
        model.log_likelihood(batch, d).status(), model.sum_log_slopes(batch, d).status(),
        model.factorize().status(), model.inverse(x, x).status(), model.sample(1, x).status(),
        model.blob_bytes().status(), model.save(b).status(), model.load(b).status()};
    for (const std::int32_t status : statuses) {
        CHECK(status == RELGRAD_ERR_NULL_POINTER);
    }
    CHECK(model.message().find("moved") != std::string::npos);
}

template <class T>
static void moved() {
    using model_type = relgrad::model<T, relgrad::codes>;
    const std::array<T, 8> x{T(0.1), T(0.2), T(-0.3), T(0.4), T(0.5), T(-0.6), T(0.7), T(0.8)};
    const relgrad::batch<T> batch(x, 4);
    auto made = model_type::make(plain(2, 2));
    CHECK(made && made->init(RELGRAD_INIT_ORTHOGONAL, 1));
    {
        auto taken = std::move(*made);
        is_left<T>(*made);
        CHECK(taken.step(batch, 0.1));
    }
    is_left<T>(*made);

    auto one = model_type::make(plain(2, 2)), two = model_type::make(plain(2, 3));
    CHECK(one && two && one->init(RELGRAD_INIT_ORTHOGONAL, 1) && one->step(batch, 0.1));
    const auto *context = one->context();
    *two = std::move(*one);
    is_left<T>(*one);
    CHECK(two->context() == context && *two->steps() == 1 && two->step(batch, 0.1));
    auto &self = *two;
    *two = std::move(self);
    CHECK(two->context() == context && *two->steps() == 2 && two->step(batch, 0.1));
    // It can be taken into use again.
    *one = std::move(*two);
    is_left<T>(*two);
    CHECK(one->step(batch, 0.1) && *one->steps() == 4);
    *two = std::move(*made);
    is_left<T>(*two);
}

// Blobs, layers, slopes, weights, levels, schedules.
template <class T>
static void rest() {
    using model_type = relgrad::model<T, relgrad::codes>;
    const std::array<T, 8> x{T(0.1), T(0.2), T(-0.3), T(0.4), T(0.5), T(-0.6), T(0.7), T(0.8)};
    const relgrad::batch<T> batch(x, 4);
    const relgrad::config c = plain(2, 3);
    auto one = model_type::make(c), two = model_type::make(c), three = model_type::make(c);
    CHECK(one && two && three && one->init(RELGRAD_INIT_ORTHOGONAL, 1) && one->step(batch, 0.1));
    const auto same = [](const auto &a, const auto &b) {
        return std::equal(a.params().begin(), a.params().end(), b.params().begin());
    };
    std::vector<unsigned char> blob(*one->blob_bytes());
    CHECK(one->save(blob) && two->load(blob) && *two->steps() == 1 && same(*one, *two));
    CHECK(one->step(batch, 0.1) && two->step(batch, 0.1) && same(*one, *two));
    CHECK(one->save(relgrad::bytes(blob.data(), 1)).status() == RELGRAD_ERR_LENGTH);
    blob[blob.size() - 1] ^= 1;
    CHECK(two->load(blob).status() == RELGRAD_ERR_STATE && !two->message().empty());

    CHECK(*one->level() != RELGRAD_LEVEL_AUTO);
    for (std::uint32_t layer = 0; layer < 3; layer++) {
        const auto weight = one->weight(layer), bias = one->bias(layer);
        CHECK(weight && bias && weight->size() == 4 && bias->size() == 2);
        CHECK(weight->data() == one->params().data() + 6 * layer);
        CHECK(bias->data() == weight->end());
    }
    CHECK(one->weight(3).status() == RELGRAD_ERR_LAYERS);
    CHECK(one->message().find("layer") != std::string::npos);
    CHECK(one->steps() && one->message().empty());
    relgrad::config unbiased = c;
    unbiased.bias = RELGRAD_BIAS_NONE;
    auto four = model_type::make(unbiased);
    CHECK(four && four->bias(2) && four->bias(2)->empty() && four->weight(2)->size() == 4);

    // Two layers have an activation.
    std::array<double, 2 * 2 * 2> sums{};
    CHECK(one->sum_log_slopes(batch, sums));
    for (std::size_t i = 0; i < sums.size(); i += 2) {
        CHECK(sums[i] < 0 && sums[i + 1] > 0);
    }
    CHECK(one->sum_log_slopes(batch, relgrad::view<double>(sums).subspan(0, 7)).status()
          == RELGRAD_ERR_LENGTH);

    // Factors with weights are the weighted step.
    const std::array<T, 4> weights{T(1), T(2), T(0), T(4)};
    const auto weighted = relgrad::batch<T>(x, 4).weights(weights);
    std::array<T, 4 * 2 * 2 * 3> factors{};
    auto totals = relgrad::sized<relgrad_totals>();
    CHECK(one->factors(weighted, factors, totals) && totals.weight == 7);
    CHECK(one->apply_factors(factors, 4, totals, 0.1, relgrad::view<const T>(weights).subspan(0, 3))
              .status() == RELGRAD_ERR_LENGTH);
    CHECK(one->message().find("weights") != std::string::npos);
    CHECK(one->apply_factors(factors, 4, totals, 0.1, weights) && two->step(weighted, 0.1));
    CHECK(same(*one, *two));

    relgrad::schedule schedule(0.5);
    CHECK(*schedule.at<relgrad::codes>(7) == 0.5);
    schedule.warmup = 10;
    CHECK(*schedule.at<relgrad::codes>(4) == 0.25);
    schedule.decay = RELGRAD_DECAY_COSINE;
    schedule.total = 100;
    CHECK(*schedule.at<relgrad::codes>(100) < 1e-9);
    schedule.rate = -1;
    CHECK(schedule.at<relgrad::codes>(0).status() == RELGRAD_ERR_RATE);
}

// Each part on one of three new threads; counts what it does, and what it allocates itself.
struct team {
    std::size_t calls = 0, done = 0, allocated = 0;

    void operator()(std::size_t count, relgrad::parts run) {
        const std::size_t before = allocations;
        std::vector<std::thread> threads;
        for (std::size_t first = 0; first < 3; first++) {
            threads.emplace_back([=] {
                for (std::size_t i = first; i < count; i += 3) {
                    run(i);
                }
            });
        }
        for (auto &thread : threads) {
            thread.join();
        }
        calls++;
        done += count;
        allocated += allocations - before;
    }
};

template <class T>
static void threads() {
    constexpr std::size_t dim = 160, rows = 40;
    std::vector<T> x(dim * rows);
    std::uint32_t seed = 1;
    for (T &value : x) {
        seed = seed * 1664525 + 1013904223;
        value = T(seed >> 8) / T(1 << 23) - T(1);
    }
    const relgrad::batch<T> batch(x, rows);
    const auto fresh = [] {
        auto c = plain(dim, 2);
        c.max_batch = rows;
        auto made = relgrad::model<T, relgrad::codes>::make(c);
        CHECK(made && made->init(RELGRAD_INIT_ORTHOGONAL, 1));
        return std::move(*made);
    };
    const auto same = [](const auto &a, const auto &b) {
        return std::memcmp(a.params().data(), b.params().data(), a.params().size() * sizeof(T)) == 0
               && std::memcmp(a.state().data(), b.state().data(), a.state().size()) == 0;
    };
    auto alone = fresh(), together = fresh();
    team three;
    CHECK(together.set_parallel(three, 0).status() == RELGRAD_ERR_THREADS);
    CHECK(together.set_parallel(three, 65).status() == RELGRAD_ERR_THREADS);
    CHECK(together.set_parallel(three, 3));
    const std::size_t before = allocations;
    for (int i = 0; i < 4; i++) {
        CHECK(alone.step(batch, 0.1) && together.step(batch, 0.1));
    }
    CHECK(same(alone, together));
    CHECK(three.calls > 4 && three.done > 2 * three.calls);
    CHECK(allocations - before == three.allocated);

    // Moved, it still knows its threads, until it is told to leave them.
    auto moved = std::move(together);
    const std::size_t calls = three.calls;
    CHECK(alone.step(batch, 0.1) && moved.step(batch, 0.1));
    CHECK(same(alone, moved) && three.calls > calls);
    CHECK(moved.set_parallel(nullptr));
    const std::size_t last = three.calls;
    CHECK(alone.step(batch, 0.1) && moved.step(batch, 0.1));
    CHECK(same(alone, moved) && three.calls == last);

#if defined(__cpp_exceptions)
    std::size_t thrown = 0;
    auto throws = [&](std::size_t, relgrad::parts run) {
        run(0);
        thrown++;
        throw 1;
    };
    CHECK(moved.set_parallel(throws, 2));
    CHECK(alone.step(batch, 0.1) && moved.step(batch, 0.1));
    CHECK(same(alone, moved) && thrown > 0);
#endif
}

#if defined(__cpp_exceptions)
template <class Call>
static std::int32_t thrown(const char *words, Call &&call) {
    try {
        call();
    } catch (const relgrad::error &e) {
        CHECK(std::string(e.what()).find(words) != std::string::npos);
        return e.status();
    }
    return RELGRAD_OK;
}

struct own_error {
    int number;
};

// The number of the own error that is thrown; 0 for none.
template <class Call>
static int own(Call &&call) {
    try {
        call();
    } catch (const own_error &e) {
        return e.number;
    }
    return 0;
}

template <class T>
static void exceptions() {
    CHECK(thrown("dim", [] { relgrad::model<T>::make(plain(0, 1)); }) == RELGRAD_ERR_DIM);
    auto model = relgrad::model<T>::make(plain(2, 2));
    std::vector<T> x{T(1), T(2)};
    CHECK(thrown("", [&] { model.step(relgrad::batch<T>(x, 1), 0.1); })
          == RELGRAD_ERR_LOG_DET_UNKNOWN);
    model.init(RELGRAD_INIT_ORTHOGONAL, 1);
    CHECK(thrown("rate", [&] { model.step(relgrad::batch<T>(x, 1), -1.0); }) == RELGRAD_ERR_RATE);
    CHECK(thrown("short", [&] { model.step(relgrad::batch<T>(x, 2), 0.1); }) == RELGRAD_ERR_LENGTH);
    CHECK(thrown("layer", [&] { model.weight(2); }) == RELGRAD_ERR_LAYERS);
    const relgrad_report report = model.step(relgrad::batch<T>(x, 1), 0.1);
    CHECK(std::isfinite(report.mean_log_likelihood));
    CHECK(relgrad::config(0, 1).complaint().find("dim") != std::string::npos);
    CHECK(relgrad::config(1, 1).complaint().empty());
    CHECK(relgrad::schedule(0.5).at(0) == 0.5);
    CHECK(thrown("", [] { relgrad::schedule(-1).at(0); }) == RELGRAD_ERR_RATE);
    auto taken = std::move(model);
    CHECK(thrown("moved", [&] { model.steps(); }) == RELGRAD_ERR_NULL_POINTER);
    CHECK(taken.steps() == 1);
}

// What callbacks throw arrives as thrown, from the calling thread and from others.
template <class T>
static void exceptions_of_callbacks() {
    constexpr std::size_t dim = 160, rows = 40;
    std::vector<T> x(dim * rows);
    for (std::size_t i = 0; i < x.size(); i++) {
        x[i] = T((i * 37) % 101) / T(50) - T(1);
    }
    auto c = plain(dim, 2);
    c.max_batch = rows;
    c.base = RELGRAD_BASE_CUSTOM;
    auto model = relgrad::model<T>::make(c), other = relgrad::model<T>::make(c);
    model.init(RELGRAD_INIT_ORTHOGONAL, 1);
    other.init(RELGRAD_INIT_ORTHOGONAL, 1);
    const auto same = [&] {
        return std::memcmp(model.params().data(), other.params().data(),
                           model.params().size() * sizeof(T)) == 0
               && std::memcmp(model.state().data(), other.state().data(), model.state().size())
                      == 0;
    };
    std::size_t bad = rows;
    const auto base = [&](std::size_t sample, relgrad::view<const T> z, relgrad::view<T> log_density,
                          relgrad::view<T> score) {
        if (sample >= bad) {
            throw own_error{7};
        }
        for (std::size_t i = 0; i < z.size(); i++) {
            log_density[i] = T(-0.5) * z[i] * z[i];
            score[i] = -z[i];
        }
    };
    const auto batch = relgrad::batch<T>(x, rows).density(base);
    std::vector<double> log_p(rows);
    team three;
    for (int threads = 1; threads <= 3; threads += 2) {
        if (threads > 1) {
            model.set_parallel(three, 3);
        }
        for (const std::size_t from : {std::size_t(0), std::size_t(17), rows - 1}) {
            bad = from;
            CHECK(own([&] { model.step(batch, 0.1); }) == 7);
            CHECK(same() && model.message().find("callback") != std::string::npos);
            CHECK(own([&] { model.log_likelihood(batch, log_p); }) == 7);
        }
        bad = rows;
        model.step(batch, 0.1);
        other.step(batch, 0.1);
        CHECK(same());
    }

    // The step is taken and the exception thrown, once and of the first that was.
    int calls = 0;
    const auto tired = [&](std::size_t count, relgrad::parts run) {
        run(count / 2);
        throw own_error{++calls};
    };
    model.set_parallel(tired, 4);
    CHECK(own([&] { model.step(batch, 0.1); }) == 1);
    other.step(batch, 0.1);
    CHECK(same() && calls == 1 && model.steps() == 3);
    CHECK(own([&] { model.log_likelihood(batch, log_p); }) == 2);
    auto moved_on = std::move(model);
    CHECK(own([&] { moved_on.step(batch, 0.1); }) == 3);
    model = std::move(moved_on);
    other.step(batch, 0.1);
    CHECK(same());
    // What ends the call comes first: the density, then a refusal.
    bad = 3;
    CHECK(own([&] { model.step(batch, 0.1); }) == 7);
    bad = rows;
    x[0] = T(NAN);
    CHECK(thrown("", [&] { model.step(batch, 0.1); }) == RELGRAD_ERR_NON_FINITE_DATA);
    x[0] = T(0);
    // A refused number of threads leaves things as they were.
    CHECK(thrown("threads", [&] { model.set_parallel(three, 0); }) == RELGRAD_ERR_THREADS);
    const int so_far = calls;
    CHECK(own([&] { model.step(batch, 0.1); }) == so_far + 1);
    model.set_parallel(nullptr);
    model.step(batch, 0.1);
    CHECK(calls == so_far + 1);
}
#endif

// Of the size from which there may be huge pages.
static void large_memory() {
    relgrad::memory large(24 << 20);
    const relgrad::bytes all = large;
    CHECK(all.size() == 24 << 20 && lies_at_multiple(all, 2 << 20));
    const auto moved = std::move(large);
    const relgrad::bytes same = moved;
    CHECK(same.data() == all.data());
    same[same.size() - 1] = 1;
}

// Inference apart from training, on threads; the library's own threads; what a blob holds.
template <class T>
static void inference() {
    using model_type = relgrad::model<T, relgrad::codes>;
    auto m = model_type::make(plain(3, 2));
    CHECK(m && m->init(RELGRAD_INIT_ORTHOGONAL, 1));
    const std::vector<T> x = {T(0.5), T(-1), T(0.25), T(1), T(0.5), T(-0.25)};
    const relgrad::batch<T> both(x, 2);
    std::vector<T> slopes(6);
    std::array<double, 2> log_p;
    CHECK(m->input_gradient(both, slopes, log_p));
    const auto one = relgrad::evaluator<T, relgrad::codes>::make(*m, 1);
    CHECK(one && one->params().data() == m->params().data());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 2; i++) {
        threads.emplace_back([&, i] {
            auto mine = relgrad::evaluator<T, relgrad::codes>::make(*m, 1);
            CHECK(mine);
            std::array<double, 1> p;
            std::array<T, 3> g;
            const relgrad::view<const T> row(x.data() + 3 * i, 3);
            CHECK(mine->log_likelihood(relgrad::batch<T>(row, 1), p) && p[0] == log_p[i]);
            CHECK(mine->input_gradient(relgrad::batch<T>(row, 1), g));
            CHECK(std::equal(g.begin(), g.end(), slopes.begin() + std::ptrdiff_t(3 * i)));
            auto moved = std::move(*mine);
            CHECK(moved.log_likelihood(relgrad::batch<T>(row, 1), p) && p[0] == log_p[i]);
            CHECK(moved.step(relgrad::batch<T>(row, 1), 0.1).status() == RELGRAD_ERR_STATE);
            CHECK(moved.message().find("evaluator") != std::string::npos);
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK((relgrad::evaluator<T, relgrad::codes>::make(*m, 0).status()) == RELGRAD_ERR_BATCH);

    auto refused = relgrad::pool<relgrad::codes>::make(65);
    CHECK(refused.status() == RELGRAD_ERR_THREADS);
    auto pool = relgrad::pool<relgrad::codes>::make(2);
    auto other = model_type::make(plain(3, 2));
    CHECK(pool && other && other->init(RELGRAD_INIT_ORTHOGONAL, 1) && other->set_parallel(*pool));
    CHECK(m->step(both, 0.1) && other->step(both, 0.1));
    CHECK(std::equal(m->params().begin(), m->params().end(), other->params().begin()));
    CHECK(other->set_parallel(nullptr));

    CHECK(m->reset_optimizer() && *m->steps() == 0);
    std::vector<unsigned char> blob(*m->blob_bytes());
    CHECK(m->save(blob));
    const auto held = relgrad::read_blob_info<relgrad::codes>(blob);
    const auto config = m->config();
    CHECK(held && held->bits == 8 * sizeof(T) && held->bytes == blob.size());
    CHECK(std::memcmp(&held->config, &*config, sizeof *config) == 0);
    blob[9] ^= 1;
    CHECK(relgrad::read_blob_info<relgrad::codes>(blob).status() == RELGRAD_ERR_STATE);
    const auto offsets = m->offsets(1);
    CHECK(offsets && offsets->weight == 12 && offsets->bias == 21 && offsets->shift == RELGRAD_NONE);
    // The text of a call that leaves the context alone.
    relgrad::view<unsigned char> none;
    CHECK(m->save(none).status() == RELGRAD_ERR_NULL_POINTER);
    CHECK(m->message().find("`blob`") != std::string::npos);
    CHECK(m->steps() && m->message().empty());
}

// Two classes five apart, as classes and as numbers of vectors that lie apart.
template <class T>
static void conditions() {
    constexpr std::size_t rows = 400, some = 20;
    using model_type = relgrad::model<T, relgrad::codes>;
    relgrad::config c(1, 1);
    c.activation = RELGRAD_ACTIVATION_IDENTITY;
    c.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    c.max_batch = some;
    c.input_transform = 1;
    c.condition = RELGRAD_CONDITION_CLASSES;
    c.condition_len = 2;
    CHECK(relgrad::condition_width(c) == 1);
    auto by_class = model_type::make(c);
    c.condition = RELGRAD_CONDITION_NUMBERS;
    CHECK(relgrad::condition_width(c) == 2);
    auto by_vector = model_type::make(c);
    std::vector<T> x(rows), u(rows), apart(3 * rows, T(9)), one(rows, T(1));
    for (std::size_t i = 0; i < rows; i++) {
        const T k = T(i % 2), wave = T(std::sin(double(i * i)));
        x[i] = T(5) * k + wave;
        u[i] = k;
        apart[3 * i] = T(1) - k;
        apart[3 * i + 1] = k;
    }
    const relgrad::batch<T> all(x, rows);
    CHECK(by_class->init(RELGRAD_INIT_STANDARDIZED, all, 1));
    CHECK(by_vector->init(RELGRAD_INIT_STANDARDIZED, all, 1));
    const auto classes = [&](std::size_t from) {
        const relgrad::view<const T> data(x), given(u);
        return relgrad::batch<T>(data.subspan(from, some), some).condition(given.subspan(from, some));
    };
    const auto vectors = [&](std::size_t from) {
        const relgrad::view<const T> data(x), given(apart);
        return relgrad::batch<T>(data.subspan(from, some), some)
            .condition(given.subspan(3 * from, 3 * some - 1))
            .condition_leading_dimension(3);
    };
    for (std::size_t i = 0; i < 4000; i += some) {
        CHECK(by_class->step(classes(i % rows), 0.05) && by_vector->step(vectors(i % rows), 0.05));
    }
    CHECK(by_class->refresh() && by_vector->refresh());
    CHECK(std::equal(by_class->params().begin(), by_class->params().end(), by_vector->params().begin()));
    std::array<double, some> log_p, again;
    CHECK(by_class->log_likelihood(classes(0), log_p) && by_vector->log_likelihood(vectors(0), again));
    CHECK(log_p == again);

    // More samples than max_batch, each of its class, and any of them by themselves.
    std::vector<T> drawn(rows), part(some), z(some), back(some);
    const relgrad::view<const T> ones(one);
    CHECK(by_class->factorize() && by_class->sample_given(3, one, drawn));
    double mean = 0;
    for (T v : drawn) {
        mean += double(v) / rows;
    }
    CHECK(std::abs(mean - 5) < 0.2);
    CHECK(by_class->sample_given(3, ones.subspan(0, some), part, 30));
    CHECK(std::equal(part.begin(), part.end(), drawn.begin() + 30));
    const auto batch = relgrad::batch<T>(part, some).condition(ones.subspan(0, some));
    CHECK(by_class->forward(batch, z) && by_class->inverse_given(z, ones.subspan(0, some), back));
    for (std::size_t i = 0; i < some; i++) {
        CHECK(std::abs(double(part[i]) - double(back[i])) < 1e-4);
    }

    // An evaluator knows the condition too.
    auto evaluator = relgrad::evaluator<T, relgrad::codes>::make(*by_vector, some);
    CHECK(evaluator && evaluator->log_likelihood(vectors(0), again) && log_p == again);

    // Missing, too short, wrong, not asked for.
    const auto none = relgrad::batch<T>(part, some);
    CHECK(by_class->step(none, 0.1).status() == RELGRAD_ERR_CONDITION);
    CHECK(by_class->step(relgrad::batch<T>(part, some).condition(ones.subspan(0, some - 1)), 0.1).status()
          == RELGRAD_ERR_LENGTH);
    CHECK(by_class->message().find("too short") != std::string::npos);
    CHECK(by_vector->step(relgrad::batch<T>(part, some).condition(ones.subspan(0, 2 * some - 1)), 0.1).status()
          == RELGRAD_ERR_LENGTH);
    one[7] = T(2);
    CHECK(by_class->sample_given(3, one, drawn).status() == RELGRAD_ERR_CONDITION);
    CHECK(by_class->message().find("`condition`[7]") != std::string::npos);
    one[7] = T(1);
    CHECK(by_class->sample_given(3, ones.subspan(0, 30), drawn).status() == RELGRAD_ERR_LENGTH);
    CHECK(by_class->sample(3, drawn).status() == RELGRAD_ERR_CONDITION);
    auto plain_model = model_type::make(plain(1, 1));
    CHECK(plain_model && plain_model->init(RELGRAD_INIT_IDENTITY, 1));
    const relgrad::view<const T> few(part.data(), 4);
    CHECK(plain_model->step(relgrad::batch<T>(few, 4).condition(few), 0.1).status() == RELGRAD_ERR_CONDITION);
}

// The promised share of a stream that drifts falls below.
static void alarms() {
    auto made = relgrad::alarm::make<relgrad::codes>(0.05, 400);
    CHECK(made && made->rate == 0.05);
    relgrad::alarm alarm = *made;
    std::int64_t seed = 1;
    int raised = 0;
    for (int i = 0; i < 80000; i++) {
        seed = seed * 16807 % 2147483647;
        const auto is = alarm.see<relgrad::codes>(std::log(double(seed) / 2147483647) - i / 20000.0);
        CHECK(is);
        raised += *is && i >= 40000;
    }
    CHECK(std::abs(raised / 40000.0 / 0.05 - 1) < 0.1);
    CHECK(*alarm.see<relgrad::codes>(-1e9) && !*alarm.see<relgrad::codes>(alarm.mean));
    CHECK(relgrad::alarm::make<relgrad::codes>(0.7, 400).status() == RELGRAD_ERR_RATE);
    alarm.spread = -1;
    CHECK(alarm.see<relgrad::codes>(0).status() == RELGRAD_ERR_STATE);
#if defined(__cpp_exceptions)
    alarm = relgrad::alarm::make(0.05, 400);
    CHECK(!alarm.see(0));
    try {
        relgrad::alarm::make(0.05, 1);
        CHECK(false);
    } catch (const relgrad::error &e) {
        CHECK(e.status() == RELGRAD_ERR_RATE && std::strstr(e.what(), "memory") != nullptr);
    }
#endif
}

// Two sources, flat and peaked, that a matrix has mixed.
template <class T>
static void components() {
    std::vector<T> x;
    std::int64_t seed = 1;
    const auto uniform = [&] {
        seed = seed * 16807 % 2147483647;
        return double(seed) / 2147483647 - 0.5;
    };
    for (int i = 0; i < 4000; i++) {
        const double flat = 4 * uniform(), even = uniform();
        const double peaked = (even < 0 ? 1 : -1) * std::log(1 - 2 * std::abs(even));
        x.push_back(T(2 * flat + peaked + 5));
        x.push_back(T(flat - peaked));
    }
    relgrad::ica ica(2);
    ica.restarts = 3;
    const auto found = ica.fit<relgrad::codes>(x);
    CHECK(found && found->report.stop == RELGRAD_STOP_CONVERGED && std::isfinite(found->report.log_likelihood));
    const auto &u = found->unmixing, &a = found->mixing;
    // Each component is made of one source.
    for (std::size_t i = 0; i < 2; i++) {
        const double p[] = {std::abs(2 * u[2 * i] + u[2 * i + 1]), std::abs(u[2 * i] - u[2 * i + 1])};
        CHECK(std::min(p[0], p[1]) < 0.1 * std::max(p[0], p[1]));
        CHECK(std::abs(u[2 * i] * a[i] + u[2 * i + 1] * a[2 + i] - 1) < 1e-9);
        const auto &each = found->each[i];
        CHECK(each.kind == (p[0] > p[1] ? RELGRAD_KIND_SUB : RELGRAD_KIND_SUPER) && each.gaussian == 0);
        CHECK(each.stability > 0.99 && each.struct_size == sizeof each);
    }
    CHECK(std::abs(found->mean[0] - 5) < 0.1);
    const auto threads = relgrad::pool<relgrad::codes>::make(2);
    CHECK(ica.fit<relgrad::codes>(x, threads->get())->unmixing == u);
    ica.relgrad_ica::components = 1;
    const auto one = ica.fit<relgrad::codes>(x);
    CHECK(one && one->mixing.size() == 2 && std::isnan(one->report.log_likelihood));
    ica.relgrad_ica::components = 3;
    CHECK(ica.fit<relgrad::codes>(x).status() == RELGRAD_ERR_DIM);
    CHECK(relgrad::ica(3).fit<relgrad::codes>(x).status() == RELGRAD_ERR_LENGTH);
#if defined(__cpp_exceptions)
    try {
        relgrad::ica(3).fit(x);
        CHECK(false);
    } catch (const relgrad::error &e) {
        CHECK(std::strstr(e.what(), "whole rows") != nullptr);
    }
#endif
    ica = relgrad::ica(2);
    ica.density = 9;
    CHECK(ica.fit<relgrad::codes>(x).status() == RELGRAD_ERR_ENUMERATION);
    ica = relgrad::ica(2);
    x[7] = T(NAN);
    CHECK(ica.fit<relgrad::codes>(x).status() == RELGRAD_ERR_NON_FINITE_DATA);
    std::fill(x.begin(), x.end(), T(1));
    CHECK(ica.fit<relgrad::codes>(x).status() == RELGRAD_ERR_SINGULAR);
}

int main() {
    components<float>();
    components<double>();
    conditions<float>();
    conditions<double>();
    alarms();
    inference<float>();
    inference<double>();
    large_memory();
    codes<float>();
    codes<double>();
    threads<float>();
    threads<double>();
    moved<float>();
    moved<double>();
    rest<float>();
    rest<double>();
#if defined(__cpp_exceptions)
    exceptions<float>();
    exceptions<double>();
    exceptions_of_callbacks<float>();
    exceptions_of_callbacks<double>();
#endif
    std::puts("ok: relgrad.hpp");
}
