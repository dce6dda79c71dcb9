/*
 * relgrad for C++17: relgrad.h with owners, views and errors; a header only.
 *
 * relgrad::session works in memory that you bring, relgrad::model brings its own; neither copies
 * data. Both come with either kind of errors: session<float> and model<float> throw
 * relgrad::error, session<float, relgrad::codes> and model<float, relgrad::codes> return
 * relgrad::result and work with -fno-exceptions. What a call does is said at its C function in
 * relgrad.h. float and double.
 *
 * One program may have parts of any standard, with exceptions and without. Sessions, models and
 * batches can be handed over only between parts that agree on exceptions; others do not link.
 *
 * MIT OR Apache-2.0.
 */

#ifndef RELGRAD_HPP
#define RELGRAD_HPP

#include "relgrad.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Names in here may be those of your variables. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"

/* What differs with and without exceptions has a name of its own in either. */
#if defined(__cpp_exceptions)
#define RELGRAD_EXCEPTIONS 1
#define RELGRAD_VARIANT v1_exceptions
#else
#define RELGRAD_EXCEPTIONS 0
#define RELGRAD_VARIANT v1_no_exceptions
#endif

namespace relgrad {

/* -- views -------------------------------------------------------------------------------- */

/* As much of std::span as is needed here, the same class in every standard. From C++20 on each
 * becomes the other where it is passed. */
template <class X>
class view {
public:
    constexpr view() noexcept = default;
    constexpr view(X *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N>
    constexpr view(X (&array)[N]) noexcept : data_(array), size_(N) {}
    /* Anything contiguous that holds X: vectors, arrays, spans, views of less const. */
    template <class C, class P = decltype(std::declval<C &>().data()),
              class = std::enable_if_t<std::is_convertible_v<
                  std::remove_pointer_t<P> (*)[], X (*)[]>>>
    constexpr view(C &&c) noexcept : data_(c.data()), size_(c.size()) {}

    constexpr X *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr X &operator[](std::size_t i) const noexcept { return data_[i]; }
    constexpr X *begin() const noexcept { return data_; }
    constexpr X *end() const noexcept { return data_ + size_; }
    constexpr view subspan(std::size_t from, std::size_t count) const noexcept {
        return {data_ + from, count};
    }

private:
    X *data_ = nullptr;
    std::size_t size_ = 0;
};

/* What may be a temporary where data are kept: it holds none itself. Specialize it for views of
 * your own. */
template <class C>
inline constexpr bool is_view = false;
template <class X>
inline constexpr bool is_view<view<X>> = true;
#if __cplusplus >= 202002L
template <class X, std::size_t N>
inline constexpr bool is_view<std::span<X, N>> = true;
#endif
template <class C>
using if_temporary =
    std::enable_if_t<!std::is_lvalue_reference_v<C> && !is_view<std::remove_cv_t<C>>>;

using bytes = view<unsigned char>;

template <class R, class = void>
inline constexpr bool has_size = false;
template <class R>
inline constexpr bool has_size<R, std::void_t<decltype(R::struct_size)>> = true;

/* A structure of relgrad.h with nothing in it but its size, or any other value. */
template <class R>
R sized() noexcept {
    R out{};
    if constexpr (has_size<R>) {
        out.struct_size = sizeof(R);
    }
    return out;
}

/* -- errors ------------------------------------------------------------------------------- */

/* A refused call: one of RELGRAD_ERR_..., with what was wrong and what is allowed. */
class error : public std::runtime_error {
public:
    error(std::int32_t status, const std::string &text)
        : std::runtime_error(text.empty() ? relgrad_status_string(status) : text),
          status_(status) {}
    std::int32_t status() const noexcept { return status_; }

private:
    std::int32_t status_;
};

/* A status; and a value, unless the status says why there is none. */
template <class R>
class result;

template <>
class [[nodiscard]] result<void> {
public:
    explicit result(std::int32_t status) noexcept : status_(status) {}
    explicit operator bool() const noexcept { return status_ == RELGRAD_OK; }
    std::int32_t status() const noexcept { return status_; }

private:
    std::int32_t status_;
};

template <class R>
class [[nodiscard]] result : public result<void> {
public:
    result(std::int32_t status, R &&value) : result<void>(status), value_(std::move(value)) {}
    R &operator*() noexcept { return value_; }
    const R &operator*() const noexcept { return value_; }
    R *operator->() noexcept { return &value_; }
    const R *operator->() const noexcept { return &value_; }

private:
    R value_;
};

/* -- what the C functions are called in each precision ------------------------------------ */

template <class T>
struct c_api;

#define RELGRAD_F(NAME, SUFFIX) static constexpr auto NAME = &relgrad_##NAME##SUFFIX;
#define RELGRAD_C_API(T, S)                                                                    \
    template <>                                                                                \
    struct c_api<T> {                                                                          \
        using context = relgrad_context##S;                                                    \
        using batch = relgrad_batch##S;                                                        \
        RELGRAD_F(query_sizes, S) RELGRAD_F(init, S) RELGRAD_F(attach, S)                      \
        RELGRAD_F(message, S) RELGRAD_F(params_init, S) RELGRAD_F(params_init_data, S)         \
        RELGRAD_F(refresh, S) RELGRAD_F(log_det, S) RELGRAD_F(steps, S) RELGRAD_F(level, S)    \
        RELGRAD_F(set_parallel, S) RELGRAD_F(step, S) RELGRAD_F(gradient, S)                   \
        RELGRAD_F(accumulate, S) RELGRAD_F(merge, S) RELGRAD_F(apply, S) RELGRAD_F(factors, S) \
        RELGRAD_F(apply_factors, S) RELGRAD_F(forward, S) RELGRAD_F(log_likelihood, S)         \
        RELGRAD_F(sum_log_slopes, S) RELGRAD_F(factorize, S) RELGRAD_F(inverse, S)             \
        RELGRAD_F(sample, S) RELGRAD_F(blob_bytes, S) RELGRAD_F(save, S) RELGRAD_F(load, S)    \
        RELGRAD_F(input_gradient, S) RELGRAD_F(reset_optimizer, S) RELGRAD_F(config_of, S)     \
        RELGRAD_F(evaluator_bytes, S) RELGRAD_F(evaluator, S) RELGRAD_F(set_pool, S)           \
        RELGRAD_F(inverse_given, S) RELGRAD_F(sample_given, S) RELGRAD_F(ica_fit, S)           \
    };
RELGRAD_C_API(float, )
RELGRAD_C_API(double, _f64)
#undef RELGRAD_C_API
#undef RELGRAD_F

/* -- configurations ----------------------------------------------------------------------- */

/* What is wrong with a configuration; empty if nothing is. */
inline std::string complaint(const relgrad_config &c) {
    char text[256] = "";
    (void)relgrad_config_check(&c, text, sizeof text);
    return text;
}

/* relgrad_config with its defaults. */
struct config : relgrad_config {
    config(std::uint32_t dim_, std::uint32_t layers_) noexcept
        : relgrad_config(sized<relgrad_config>()) {
        (void)relgrad_config_default(this, dim_, layers_);
    }
    std::string complaint() const { return relgrad::complaint(*this); }
};

/* How many numbers each sample's condition has. */
inline std::size_t condition_width(const relgrad_config &c) noexcept {
    return c.condition == RELGRAD_CONDITION_NONE      ? 0
           : c.condition == RELGRAD_CONDITION_CLASSES ? 1
                                                      : c.condition_len;
}

template <class T>
std::int32_t query_sizes(const relgrad_config &c, relgrad_sizes &sizes) noexcept {
    sizes = sized<relgrad_sizes>();
    return c_api<T>::query_sizes(&c, &sizes);
}

/* -- memory ------------------------------------------------------------------------------- */

/* Owned bytes, aligned as relgrad wants them. Large ones ask Linux for huge pages: without them
 * steps of thousands of features spend a tenth of their time on the translation of addresses. */
class memory {
public:
    memory() noexcept = default;
    explicit memory(std::size_t size)
        : memory(size, std::align_val_t{size < 12 * huge_page ? RELGRAD_ALIGNMENT : huge_page}) {}
    memory(memory &&other) noexcept { *this = std::move(other); }
    memory &operator=(memory &&other) noexcept {
        data_ = std::move(other.data_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    operator bytes() const noexcept { return {data_.get(), size_}; }
    operator view<const unsigned char>() const noexcept { return {data_.get(), size_}; }
    template <class T>
    view<T> of() const noexcept {
        return {reinterpret_cast<T *>(data_.get()), size_ / sizeof(T)};
    }

private:
    static constexpr std::size_t huge_page = std::size_t(2) << 20;

    memory(std::size_t size, std::align_val_t alignment)
        : data_(static_cast<unsigned char *>(::operator new(size, alignment, std::nothrow)),
                free{alignment}),
          size_(data_ == nullptr ? 0 : size) {
#if defined(MADV_HUGEPAGE)
        /* Everything works without them too. */
        if (alignment == std::align_val_t{huge_page} && size_ > 0) {
            (void)::madvise(data_.get(), size_ / huge_page * huge_page, MADV_HUGEPAGE);
        }
#endif
    }

    struct free {
        std::align_val_t alignment;
        void operator()(unsigned char *p) const noexcept { ::operator delete(p, alignment); }
    };
    std::unique_ptr<unsigned char, free> data_;
    std::size_t size_ = 0;
};

/* What a blob holds: the model's configuration, 32 or 64 bits a number, the bytes of the blob. */
struct blob_info {
    relgrad_config config = sized<relgrad_config>();
    std::uint32_t bits = 0;
    std::size_t bytes = 0;
};

/* A log-determinant and the steps since it was exact. */
struct known_log_det {
    double value = 0;
    std::uint64_t age = 0;
};

/* The three pieces of memory a session works in; see relgrad_sizes. */
template <class T>
struct buffers {
    view<T> params;
    bytes state, workspace;
};

/* The parts of one call's work: run(i) does part i, on any thread. */
class parts {
public:
    parts(relgrad_task run, void *task) noexcept : run_(run), task_(task) {}
    void operator()(std::size_t i) const noexcept { run_(task_, i); }

private:
    relgrad_task run_;
    void *task_;
};

/* Why this thread's last call was refused, of those without a model. */
inline std::string complaint() {
    char text[256] = "";
    (void)relgrad_message(nullptr, text, sizeof text);
    return text;
}

inline namespace RELGRAD_VARIANT {

/* -- kinds of errors ---------------------------------------------------------------------- */

/* A function of yours that C calls, on any thread. What it throws is kept until the call is over,
 * and it is not called again until then. */
struct callback {
    void *function = nullptr;
#if RELGRAD_EXCEPTIONS
    std::atomic<bool> threw{false};
    std::exception_ptr thrown = nullptr;
#endif

    template <class F>
    static void *address(F &f) noexcept {
        return const_cast<void *>(static_cast<const void *>(std::addressof(f)));
    }
    /* Whether it has always come back. */
    template <class F, class... A>
    bool call(A... arguments) noexcept {
#if RELGRAD_EXCEPTIONS
        try {
            if (!threw) {
                (*static_cast<F *>(function))(arguments...);
            }
        } catch (...) {
            if (!threw.exchange(true)) {
                thrown = std::current_exception();
            }
        }
        return !threw;
#else
        (*static_cast<F *>(function))(arguments...);
        return true;
#endif
    }
};

/* What was called back during a call. */
struct callbacks {
    callback *base = nullptr, *parallel_for = nullptr;
};

/* Calls return a result. A density that throws is RELGRAD_ERR_CALLBACK; what a parallel_for
 * throws is dropped. */
struct codes {
    static constexpr bool keeps_exceptions = false;
    template <class R>
    using result = relgrad::result<R>;
    template <class R, class Text, class... V>
    static result<R> give(std::int32_t status, Text &&, callbacks, V &&...value) {
        return result<R>(status, std::move(value)...);
    }
};

#if RELGRAD_EXCEPTIONS
/* Calls return what they give, or throw: what a density threw, which ended the call; an error;
 * or what a parallel_for threw, after the call has done its work. */
struct exceptions {
    static constexpr bool keeps_exceptions = true;
    template <class R>
    using result = R;
    template <class R, class Text, class... V>
    static R give(std::int32_t status, Text &&text, callbacks called, V &&...value) {
        const auto ended = take(called.base), late = take(called.parallel_for);
        if (ended != nullptr) {
            std::rethrow_exception(ended);
        }
        if (status != RELGRAD_OK) {
            throw error(status, text());
        }
        if (late != nullptr) {
            std::rethrow_exception(late);
        }
        return R(std::move(value)...);
    }
    static std::exception_ptr take(callback *from) noexcept {
        if (from == nullptr) {
            return nullptr;
        }
        from->threw = false;
        return std::exchange(from->thrown, nullptr);
    }
};
using default_errors = exceptions;
#else
using default_errors = codes;
#endif

template <class R, class Errors>
using given = typename Errors::template result<R>;

/* -- schedules and batches ---------------------------------------------------------------- */

/* relgrad_schedule, constant at first: set its other fields for warm-up and decay. */
struct schedule : relgrad_schedule {
    explicit schedule(double rate_) noexcept : relgrad_schedule(sized<relgrad_schedule>()) {
        rate = rate_;
    }
    /* The rate at a step, counted from 0. */
    template <class Errors = default_errors>
    given<double, Errors> at(std::uint64_t step) const {
        double out = 0;
        const auto status = relgrad_schedule_rate(this, step, &out);
        return Errors::template give<double>(status, [] { return complaint(); }, {}, out);
    }
};

template <class Errors = default_errors>
given<blob_info, Errors> read_blob_info(view<const unsigned char> blob) {
    blob_info out;
    const auto status =
        relgrad_blob_info(blob.data(), blob.size(), &out.config, &out.bits, &out.bytes);
    return Errors::template give<blob_info>(status, [] { return complaint(); }, {}, std::move(out));
}

/* relgrad_alarm: anomalies of a stream. Score a row, see its log-likelihood, then learn from it. */
struct alarm : relgrad_alarm {
    /* `rate_` is the promised share of false alarms; 20 / rate_ rows of memory are a good choice. */
    template <class Errors = default_errors>
    static given<alarm, Errors> make(double rate_, double memory_) {
        alarm out;
        const auto status = relgrad_alarm_start(&out, rate_, memory_);
        return Errors::template give<alarm>(status, [] { return complaint(); }, {}, std::move(out));
    }
    /* Whether a row with this log-likelihood is an anomaly. */
    template <class Errors = default_errors>
    given<bool, Errors> see(double log_p) {
        std::int32_t raised_ = 0;
        const auto status = relgrad_alarm_see(this, log_p, &raised_);
        return Errors::template give<bool>(status, [] { return complaint(); }, {}, raised_ != 0);
    }

private:
    alarm() noexcept : relgrad_alarm(sized<relgrad_alarm>()) {}
};

/* Threads of the library's own, for any number of sessions, all of which they must outlive. */
template <class Errors = default_errors>
class pool {
public:
    static given<pool, Errors> make(std::uint32_t threads) {
        pool out;
        relgrad_pool *made = nullptr;
        const auto status = relgrad_pool_new(threads, &made);
        out.it_.reset(made);
        return Errors::template give<pool>(status, [] { return complaint(); }, {}, std::move(out));
    }
    const relgrad_pool *get() const noexcept { return it_.get(); }

private:
    struct free {
        void operator()(relgrad_pool *p) const noexcept { (void)relgrad_pool_free(p); }
    };
    std::unique_ptr<relgrad_pool, free> it_;
};

/* What linear ICA found: s = unmixing (x - mean), x = mixing s + mean, row-major. */
struct components {
    std::vector<double> unmixing, mixing, mean;
    std::vector<relgrad_component> each;
    relgrad_ica_report report = sized<relgrad_ica_report>();
};

/* relgrad_ica with its defaults. */
struct ica : relgrad_ica {
    explicit ica(std::uint32_t features_) noexcept : relgrad_ica(sized<relgrad_ica>()) {
        (void)relgrad_ica_default(this, features_);
    }
    /* The components of rows of data, on the calling thread or on those of a pool. */
    template <class Errors = default_errors>
    given<relgrad::components, Errors> fit(view<const float> data,
                                           const relgrad_pool *pool = nullptr) const {
        return run<Errors>(data, pool);
    }
    template <class Errors = default_errors>
    given<relgrad::components, Errors> fit(view<const double> data,
                                           const relgrad_pool *pool = nullptr) const {
        return run<Errors>(data, pool);
    }

private:
    template <class Errors, class T>
    given<relgrad::components, Errors> run(view<const T> data, const relgrad_pool *pool) const {
        using api = c_api<T>;
        relgrad::components out;
        const std::size_t d = features, m = relgrad_ica::components ? relgrad_ica::components : d;
        std::int32_t status = RELGRAD_ERR_LENGTH;
        const bool whole = d == 0 || data.size() % d == 0;
        if (whole) {
            out.unmixing.resize(m * d);
            out.mixing.resize(d * m);
            out.mean.resize(d);
            out.each.resize(m, sized<relgrad_component>());
            status = api::ica_fit(this, data.data(), d == 0 ? 0 : data.size() / d, pool,
                                  out.unmixing.data(), out.mixing.data(), out.mean.data(),
                                  out.each.data(), &out.report);
        }
        const auto why = [&] {
            return whole ? complaint() : std::string("`data` must have whole rows of ica.features");
        };
        return Errors::template give<relgrad::components>(status, why, {}, std::move(out));
    }
};

/* Rows of data that stay where they are, with what belongs to them. All of it must outlive the
 * batch: temporaries that hold data do not compile. */
template <class T>
class batch {
public:
    batch(view<const T> x, std::size_t rows) noexcept : x_(x) { raw_.rows = rows; }
    template <class C, class = if_temporary<C>>
    batch(C &&, std::size_t) = delete;

    /* Numbers from one row to the next. */
    batch &leading_dimension(std::size_t ld) noexcept {
        raw_.ld = ld;
        return *this;
    }
    /* One weight a row. */
    batch &weights(view<const T> w) noexcept {
        weights_ = w;
        weighted_ = true;
        return *this;
    }
    template <class C, class = if_temporary<C>>
    batch &weights(C &&) = delete;
    /* What was observed with each row: config.condition_len numbers, or its class, counted from 0. */
    batch &condition(view<const T> u) noexcept {
        condition_ = u;
        conditioned_ = true;
        return *this;
    }
    template <class C, class = if_temporary<C>>
    batch &condition(C &&) = delete;
    /* Numbers from one row's condition to the next. */
    batch &condition_leading_dimension(std::size_t ld) noexcept {
        raw_.condition_ld = ld;
        return *this;
    }
    /* For RELGRAD_BASE_CUSTOM: base(sample, z, log_density, score) on views of dim numbers. What
     * it throws ends the call, which then has changed nothing, and is thrown by it; with codes it
     * is RELGRAD_ERR_CALLBACK. */
    template <class Base>
    batch &density(Base &base) noexcept {
        base_ = callback::address(base);
        raw_.base = [](void *user, std::size_t sample, const T *z, T *log_density, T *score,
                       std::size_t dim) -> std::int32_t {
            const bool ok = static_cast<callback *>(user)->call<Base>(
                sample, view<const T>(z, dim), view<T>(log_density, dim), view<T>(score, dim));
            return ok ? 0 : 1;
        };
        return *this;
    }
    template <class Base>
    batch &density(const Base &&) = delete;

    /* A part of a batch of `rows` rows, at most max_batch, for model::factors. */
    batch &of_whole(std::size_t rows) noexcept {
        raw_.whole = rows;
        return *this;
    }

    std::size_t rows() const noexcept { return raw_.rows; }

    /* As C wants it, for a model with this configuration and a density behind `base`, which must
     * outlive `out`; RELGRAD_ERR_LENGTH if the views are too short. */
    std::int32_t read(const relgrad_config &c, typename c_api<T>::batch &out,
                      callback &base) const noexcept {
        base.function = base_;
        out = raw_;
        out.user = &base;
        out.x = x_.data();
        out.weights = weighted_ ? weights_.data() : nullptr;
        out.condition = conditioned_ ? condition_.data() : nullptr;
        const bool fits = holds(x_, c.dim, raw_.ld) && (!weighted_ || holds(weights_, 1, 1))
                          && (!conditioned_ || holds(condition_, condition_width(c), raw_.condition_ld));
        return fits ? RELGRAD_OK : RELGRAD_ERR_LENGTH;
    }

private:
    /* Whether all rows of `width` numbers, `ld` apart, are in `v`. */
    bool holds(view<const T> v, std::size_t width, std::size_t ld) const noexcept {
        ld = std::max(ld == 0 ? width : ld, std::size_t(1));
        return raw_.rows == 0
               || (v.size() >= width && (v.size() - width) / ld + 1 >= raw_.rows);
    }

    view<const T> x_, weights_, condition_;
    bool weighted_ = false, conditioned_ = false;
    void *base_ = nullptr;
    typename c_api<T>::batch raw_ = sized<typename c_api<T>::batch>();
};

/* -- sessions: in memory of yours ---------------------------------------------------------- */

/* A model in your memory, which must outlive it. Calls from one thread at a time. One that was
 * moved from has no parameters, and refuses all calls with RELGRAD_ERR_NULL_POINTER. */
template <class T, class Errors = default_errors>
class session {
    using api = c_api<T>;
    template <class R>
    using result = typename Errors::template result<R>;

public:
    /* A fresh optimizer state; the parameters stay as they are. */
    static result<session> open(const relgrad_config &c, const buffers<T> &memory) {
        return make(api::init, c, memory);
    }
    /* Takes up a state whose bytes were kept: training goes on bit for bit. */
    static result<session> resume(const relgrad_config &c, const buffers<T> &memory) {
        return make(api::attach, c, memory);
    }

    session(session &&other) noexcept { *this = std::move(other); }
    session &operator=(session &&other) noexcept {
        it_ = std::exchange(other.it_, {});
        parallel_for_ = std::move(other.parallel_for_);
        return *this;
    }

    view<T> params() const noexcept { return it_.params; }
    std::size_t dim() const noexcept { return it_.config.dim; }
    typename api::context *context() const noexcept { return it_.context; }

    /* Why the last call was refused; empty after a success. */
    std::string message() const {
        char text[256] = "";
        if (it_.context == nullptr) {
            return "there is no model: it was moved from, or not made";
        }
        if (complaint_ != nullptr) {
            return complaint_;
        }
        (void)api::message(it_.context, text, sizeof text);
        /* Calls that leave the context as it is leave their text with the thread. */
        return *text == 0 && status_ != RELGRAD_OK ? relgrad::complaint() : text;
    }

    result<relgrad_sizes> sizes() const {
        return call<relgrad_sizes>([&](auto *out) { return query_sizes<T>(it_.config, *out); });
    }
    result<relgrad_config> config() const {
        return call<relgrad_config>([&](auto *out) { return api::config_of(it_.context, out); });
    }
    /* Where the parameters of a layer, counted from 0, lie. */
    result<relgrad_offsets> offsets(std::uint32_t layer) const {
        return call<relgrad_offsets>(
            [&](auto *out) { return relgrad_param_offsets(&it_.config, layer, out); });
    }
    /* The weight of a layer: dim rows of dim. */
    result<view<T>> weight(std::uint32_t layer) const { return part(layer, true); }
    /* Its bias, empty without biases. */
    result<view<T>> bias(std::uint32_t layer) const { return part(layer, false); }

    result<void> init(std::uint32_t how, std::uint64_t seed) {
        return on_params<void>(api::params_init, how, seed);
    }
    result<void> init(std::uint32_t how, const batch<T> &data, std::uint64_t seed, bytes scratch,
                      double ridge = 1e-6) {
        return on_batch<void>(data, api::params_init_data, how, seed, ridge, scratch.data(),
                              scratch.size());
    }
    result<relgrad_refresh_report> refresh(bytes scratch) {
        return on_params<relgrad_refresh_report>(api::refresh, scratch.data(), scratch.size());
    }
    result<known_log_det> log_det() const {
        return call<known_log_det>(
            [&](auto *out) { return api::log_det(it_.context, &out->value, &out->age); });
    }
    result<std::uint64_t> steps() const {
        return call<std::uint64_t>([&](auto *out) { return api::steps(it_.context, out); });
    }
    /* Begins the optimizer anew; log-determinants stay. */
    result<void> reset_optimizer() {
        return call<void>([&] { return api::reset_optimizer(it_.context); });
    }
    /* The instruction set in use. */
    result<std::uint32_t> level() const {
        return call<std::uint32_t>([&](auto *out) { return api::level(it_.context, out); });
    }

    /* Calls run their work by parallel_for(count, run), as if on `threads` (1 to 64) threads: it
     * calls run(i) of relgrad::parts for each i below count, on threads of yours, and comes back
     * when these calls have. It must outlive the session. If it throws (when none of its calls is
     * running any more), the calling thread does all that is left of the call's work, and then
     * throws the same: a step has then been taken. With codes it is dropped. */
    template <class ParallelFor>
    result<void> set_parallel(ParallelFor &parallel_for, std::uint32_t threads) {
        std::unique_ptr<callback> kept;
        void *user = callback::address(parallel_for);
        if constexpr (Errors::keeps_exceptions) {
            kept = std::make_unique<callback>();
            kept->function = std::exchange(user, kept.get());
        }
        return call<void>([&] {
            const auto status = api::set_parallel(it_.context, run_all<ParallelFor>, user, threads);
            if (status == RELGRAD_OK) {
                parallel_for_ = std::move(kept);
            }
            return status;
        });
    }
    template <class ParallelFor>
    result<void> set_parallel(const ParallelFor &&, std::uint32_t) = delete;
    /* On the library's own threads. */
    template <class E>
    result<void> set_parallel(const pool<E> &threads) {
        return call<void>([&] { return api::set_pool(it_.context, threads.get()); });
    }
    template <class E>
    result<void> set_parallel(const pool<E> &&) = delete;
    /* On the calling thread alone again. */
    result<void> set_parallel(std::nullptr_t) {
        return call<void>([&] { return api::set_parallel(it_.context, nullptr, nullptr, 1); });
    }

    result<relgrad_report> step(const batch<T> &data, double rate) {
        return on_batch<relgrad_report>(data, api::step, rate);
    }
    result<relgrad_report> gradient(const batch<T> &data, view<T> out) {
        return on_batch<relgrad_report>(data, api::gradient, out.data(), out.size());
    }

    /* Totals begin as sized<relgrad_totals>(), sums as zeros. */
    result<void> accumulate(const batch<T> &data, view<T> sums, relgrad_totals &totals) {
        return on_batch<void>(data, api::accumulate, sums.data(), sums.size(), &totals);
    }
    result<void> merge(view<T> sums, relgrad_totals &totals, view<const T> other,
                       const relgrad_totals &other_totals) {
        return call<void>([&] {
            return api::merge(it_.context, sums.data(), sums.size(), &totals, other.data(),
                              other.size(), &other_totals);
        });
    }
    result<relgrad_report> apply(view<const T> sums, const relgrad_totals &totals, double rate) {
        return on_params<relgrad_report>(api::apply, sums.data(), sums.size(), &totals, rate);
    }
    result<void> factors(const batch<T> &data, view<T> out, relgrad_totals &totals) {
        return on_batch<void>(data, api::factors, out.data(), out.size(), &totals);
    }
    /* One weight a row; none at all if there are no weights. */
    result<relgrad_report> apply_factors(view<const T> factors, std::size_t rows,
                                         const relgrad_totals &totals, double rate,
                                         view<const T> weights = {}) {
        if (!weights.empty() && weights.size() < rows) {
            return call<relgrad_report>(
                [&](auto *) { return refuse("weights are too short for the rows"); });
        }
        return on_params<relgrad_report>(api::apply_factors, factors.data(), factors.size(), rows,
                                         weights.empty() ? nullptr : weights.data(), &totals,
                                         rate);
    }

    /* Latents of a batch. */
    result<void> forward(const batch<T> &data, view<T> z) {
        return on_batch<void>(data, api::forward, z.data(), z.size());
    }
    /* Exact log-densities of a batch's rows. */
    result<void> log_likelihood(const batch<T> &data, view<double> log_p) {
        return on_batch<void>(data, api::log_likelihood, log_p.data(), log_p.size());
    }
    /* Derivatives of the log-densities by the features, and the log-densities if there is room. */
    result<void> input_gradient(const batch<T> &data, view<T> gradient, view<double> log_p = {}) {
        return on_batch<void>(data, api::input_gradient, gradient.data(), gradient.size(),
                              log_p.data(), log_p.size());
    }
    /* Adds to two numbers a unit of each layer with an activation. */
    result<void> sum_log_slopes(const batch<T> &data, view<double> sums) {
        return on_batch<void>(data, api::sum_log_slopes, sums.data(), sums.size());
    }
    result<void> factorize(bytes factorization) const {
        return on_params<void>(api::factorize, factorization.data(), factorization.size());
    }
    /* Data from latents; an empty factorization stands for tracked inverses. */
    result<relgrad_inversion> inverse(view<const unsigned char> factorization, view<const T> z,
                                      view<T> x) {
        const std::size_t rows = z.size() / std::max(dim(), std::size_t(1));
        return on_params<relgrad_inversion>(api::inverse, factorization.data(),
                                            factorization.size(), z.data(), z.size(), rows,
                                            x.data(), x.size());
    }
    /* With the condition of each row of latents, for models whose layers depend on it. */
    result<relgrad_inversion> inverse_given(view<const unsigned char> factorization,
                                            view<const T> z, view<const T> conditions, view<T> x) {
        const std::size_t rows = z.size() / std::max(dim(), std::size_t(1));
        return on_params<relgrad_inversion>(api::inverse_given, factorization.data(),
                                            factorization.size(), z.data(), z.size(), rows,
                                            conditions.data(), conditions.size(), x.data(),
                                            x.size());
    }
    /* As many samples as fit into x, from number `first_row` on of those that belong to `seed`. */
    result<relgrad_inversion> sample(view<const unsigned char> factorization, std::uint64_t seed,
                                     view<T> x, std::uint64_t first_row = 0) {
        return draw(x, [&](std::size_t done, std::size_t rows, relgrad_inversion *report) {
            return api::sample(it_.context, it_.params.data(), it_.params.size(),
                               factorization.data(), factorization.size(), seed, first_row + done,
                               rows, x.data() + done * dim(), rows * dim(), report);
        });
    }
    /* A sample for each condition, of which there are as many as fit into x. */
    result<relgrad_inversion> sample_given(view<const unsigned char> factorization,
                                           std::uint64_t seed, view<const T> conditions, view<T> x,
                                           std::uint64_t first_row = 0) {
        const std::size_t width = condition_width(it_.config);
        return draw(x, [&](std::size_t done, std::size_t rows, relgrad_inversion *report) {
            if (conditions.size() != x.size() / dim() * width)
                return refuse("there must be as many conditions as samples");
            const auto from = std::min(done * width, conditions.size());
            return api::sample_given(it_.context, it_.params.data(), it_.params.size(),
                                     factorization.data(), factorization.size(), seed,
                                     first_row + done, rows, conditions.data() + from,
                                     conditions.size() - from, x.data() + done * dim(),
                                     rows * dim(), report);
        });
    }

    /* Parameters and optimizer state as bytes, for files: training goes on bit for bit. */
    result<std::size_t> blob_bytes() const {
        return call<std::size_t>([&](auto *out) { return api::blob_bytes(&it_.config, out); });
    }
    result<void> save(bytes blob) const {
        return on_params<void>(api::save, blob.data(), blob.size());
    }
    result<void> load(view<const unsigned char> blob) {
        return on_params<void>(api::load, blob.data(), blob.size());
    }

protected:
    session() noexcept = default;

    template <class Create>
    std::int32_t start(Create *create, const relgrad_config &c, const buffers<T> &m) noexcept {
        auto status = relgrad_abi_check(RELGRAD_ABI_VERSION);
        if (status == RELGRAD_OK) {
            status = create(&c, m.state.data(), m.state.size(), m.workspace.data(),
                            m.workspace.size(), &it_.context);
        }
        if (status == RELGRAD_OK) {
            it_.params = m.params;
            it_.config = c;
        }
        return status;
    }

    /* To evaluate another session, whose parameters it shares, in `m`. */
    std::int32_t evaluate(const session &of, std::uint32_t max_batch, bytes m) noexcept {
        if (of.it_.context == nullptr) {
            return RELGRAD_ERR_NULL_POINTER;
        }
        const auto status =
            api::evaluator(of.it_.context, max_batch, m.data(), m.size(), &it_.context);
        if (status == RELGRAD_OK) {
            it_.params = of.it_.params;
            it_.config = of.it_.config;
            it_.config.max_batch = max_batch;
        }
        return status;
    }
    const relgrad_config &configured() const noexcept { return it_.config; }

private:
    template <class, class>
    friend class evaluator;

    template <class Create>
    static result<session> make(Create *create, const relgrad_config &c, const buffers<T> &m) {
        session out;
        const auto status = out.start(create, c, m);
        const auto text = [&c] { return complaint(c); };
        return Errors::template give<session>(status, text, {}, std::move(out));
    }

    /* One call: go(&value) where it gives a value, go() where it does not. */
    template <class R, class Go>
    result<R> call(Go &&go, callback *base = nullptr) const {
        const auto run = [&](auto *...out) -> std::int32_t {
            complaint_ = nullptr;
            status_ = it_.context == nullptr ? RELGRAD_ERR_NULL_POINTER : go(out...);
            return status_;
        };
        const auto text = [this] { return message(); };
        if constexpr (std::is_void_v<R>) {
            const auto status = run();
            return Errors::template give<R>(status, text, {base, parallel_for_.get()});
        } else {
            R value = sized<R>();
            const auto status = run(&value);
            return Errors::template give<R>(status, text, {base, parallel_for_.get()},
                                            std::move(value));
        }
    }
    /* Functions on context, parameters, arguments and, where they give one, a value. */
    template <class R, class F, class... A>
    result<R> on_params(F *f, A... arguments) const {
        return call<R>([&](auto *...out) {
            return f(it_.context, it_.params.data(), it_.params.size(), arguments..., out...);
        });
    }
    /* The same with a batch before the arguments. */
    template <class R, class F, class... A>
    result<R> on_batch(const batch<T> &data, F *f, A... arguments) const {
        callback base;
        const auto go = [&](auto *...out) {
            typename api::batch x;
            const auto status = data.read(it_.config, x, base);
            return status != RELGRAD_OK
                       ? refuse("data, weights or conditions are too short for the rows")
                       : f(it_.context, it_.params.data(), it_.params.size(), &x, arguments...,
                           out...);
        };
        return call<R>(go, &base);
    }
    /* Fills x with samples, at most max_batch at a time. */
    template <class Draw>
    result<relgrad_inversion> draw(view<T> x, Draw &&some) {
        return call<relgrad_inversion>([&](auto *worst) {
            const std::size_t rows = x.size() / dim(), most = it_.config.max_batch;
            std::int32_t status = RELGRAD_OK;
            std::size_t done = 0;
            do {
                const std::size_t part = std::min(rows - done, most);
                auto report = sized<relgrad_inversion>();
                status = some(done, part, &report);
                worst->iterations = std::max(worst->iterations, report.iterations);
                worst->newton_residual = std::max(worst->newton_residual, report.newton_residual);
                worst->residual = std::max(worst->residual, report.residual);
                done += part;
            } while (status == RELGRAD_OK && done < rows);
            return status;
        });
    }
    std::int32_t refuse(const char *why, std::int32_t status = RELGRAD_ERR_LENGTH) const noexcept {
        complaint_ = why;
        return status;
    }
    result<view<T>> part(std::uint32_t layer, bool weight) const {
        return call<view<T>>([&](auto *out) {
            const std::size_t bias_len = it_.config.bias == RELGRAD_BIAS_NONE ? 0 : dim();
            auto offsets = sized<relgrad_offsets>();
            const auto status = relgrad_param_offsets(&it_.config, layer, &offsets);
            const std::size_t size = weight ? dim() * dim() : bias_len;
            const std::size_t at = weight ? offsets.weight : size > 0 ? offsets.bias : 0;
            if (status != RELGRAD_OK) {
                return refuse("layer must be below config.layers", status);
            }
            if (params().size() < at + size) {
                return refuse("params are too short for the model");
            }
            *out = params().subspan(at, size);
            return status;
        });
    }
    template <class ParallelFor>
    static void run_all(void *user, relgrad_task run, void *task, std::size_t count) {
        if constexpr (Errors::keeps_exceptions) {
            static_cast<callback *>(user)->template call<ParallelFor>(count, parts(run, task));
        } else {
            callback parallel_for{user};
            parallel_for.template call<ParallelFor>(count, parts(run, task));
        }
    }

    struct {
        typename api::context *context = nullptr;
        view<T> params;
        relgrad_config config = {};
    } it_;
    std::unique_ptr<callback> parallel_for_;
    mutable const char *complaint_ = nullptr;
    mutable std::int32_t status_ = RELGRAD_OK;
};

/* -- evaluators: inference apart from training --------------------------------------------- */

/* A session's model for inference alone, for batches of at most max_batch rows. Threads that evaluate
 * one model at the same time have one each. It shares the session's parameters, which must outlive
 * it, and knows the log-determinants that the session knew when it was made. What trains is refused
 * with RELGRAD_ERR_STATE. */
template <class T, class Errors = default_errors>
class evaluator : public session<T, Errors> {
    template <class R>
    using result = typename Errors::template result<R>;

public:
    static result<evaluator> make(const session<T, Errors> &of, std::uint32_t max_batch) {
        evaluator out;
        std::size_t bytes = 0;
        auto status = c_api<T>::evaluator_bytes(&of.configured(), max_batch, &bytes);
        if (status == RELGRAD_OK) {
            out.memory_ = memory(bytes);
            status = out.evaluate(of, max_batch, out.memory_);
        }
        return Errors::template give<evaluator>(status, [] { return complaint(); }, {},
                                                std::move(out));
    }

private:
    evaluator() noexcept = default;
    memory memory_;
};

/* -- models: with memory of their own ------------------------------------------------------ */

/* A session with its memory, allocated when it is made and not again. Short memory shows as
 * RELGRAD_ERR_LENGTH. */
template <class T, class Errors = default_errors>
class model : public session<T, Errors> {
    using base = session<T, Errors>;
    template <class R>
    using result = typename Errors::template result<R>;

public:
    static result<model> make(const relgrad_config &c) {
        model out;
        auto sizes = sized<relgrad_sizes>();
        auto status = query_sizes<T>(c, sizes);
        if (status == RELGRAD_OK) {
            out.params_memory_ = memory(sizes.params_len * sizeof(T));
            out.state_ = memory(sizes.state_bytes);
            out.workspace_ = memory(sizes.workspace_bytes);
            out.scratch_ = memory(std::max(sizes.refresh_bytes, sizes.start_bytes));
            out.factorization_ = memory(sizes.factorization_bytes);
            const auto params = out.params_memory_.template of<T>();
            std::fill(params.begin(), params.end(), T(0));
            status = out.start(c_api<T>::init, c, {params, out.state_, out.workspace_});
        }
        const auto text = [&c] { return complaint(c); };
        return Errors::template give<model>(status, text, {}, std::move(out));
    }
    /* Bytes that a model of these sizes takes. */
    static std::size_t bytes_of(const relgrad_sizes &s) noexcept {
        return s.params_len * sizeof(T) + s.state_bytes + s.workspace_bytes
               + std::max(s.refresh_bytes, s.start_bytes) + s.factorization_bytes;
    }

    using base::init;
    result<void> init(std::uint32_t how, const batch<T> &data, std::uint64_t seed) {
        return base::init(how, data, seed, scratch_);
    }
    result<relgrad_refresh_report> refresh() { return base::refresh(scratch_); }
    result<void> factorize() { return base::factorize(factorization_); }
    /* Call factorize after parameters have changed and before these. */
    result<relgrad_inversion> inverse(view<const T> z, view<T> x) {
        return base::inverse(factorization_, z, x);
    }
    result<relgrad_inversion> sample(std::uint64_t seed, view<T> x, std::uint64_t first_row = 0) {
        return base::sample(factorization_, seed, x, first_row);
    }
    result<relgrad_inversion> inverse_given(view<const T> z, view<const T> conditions, view<T> x) {
        return base::inverse_given(factorization_, z, conditions, x);
    }
    result<relgrad_inversion> sample_given(std::uint64_t seed, view<const T> conditions, view<T> x,
                                           std::uint64_t first_row = 0) {
        return base::sample_given(factorization_, seed, conditions, x, first_row);
    }
    /* The optimizer state, to be kept with the parameters. */
    bytes state() const noexcept { return state_; }

private:
    model() noexcept = default;
    memory params_memory_, state_, workspace_, scratch_, factorization_;
};

} // namespace RELGRAD_VARIANT
} // namespace relgrad

#if __cplusplus >= 202002L
template <class X>
inline constexpr bool std::ranges::enable_borrowed_range<relgrad::view<X>> = true;
#endif

#pragma GCC diagnostic pop
#undef RELGRAD_VARIANT
#undef RELGRAD_EXCEPTIONS
#endif
