/*
 * relgrad for C++17: relgrad.h with owners, views and errors; a header only.
 *
 * relgrad::session works in memory that you bring, relgrad::model brings its own; neither copies
 * data. Both come with either kind of errors: session<float> and model<float> throw
 * relgrad::error, session<float, relgrad::codes> and model<float, relgrad::codes> return
 * relgrad::result and work with -fno-exceptions. What a call does is said at its C function in
 * relgrad.h. float and double.
 *
 * MIT OR Apache-2.0.
 */

#ifndef RELGRAD_HPP
#define RELGRAD_HPP

#include "relgrad.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#if __cplusplus >= 202002L
#include <span>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__cpp_exceptions)
#define RELGRAD_EXCEPTIONS 1
#else
#define RELGRAD_EXCEPTIONS 0
#endif

namespace relgrad {

#if __cplusplus >= 202002L
template <class X>
using view = std::span<X>;
#else
/* As much of std::span as is needed here. */
template <class X>
class view {
public:
    constexpr view() noexcept = default;
    constexpr view(X *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N>
    constexpr view(X (&array)[N]) noexcept : data_(array), size_(N) {}
    /* Anything contiguous that holds X: vectors, arrays, views of less const. */
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
#endif

using bytes = view<unsigned char>;

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

/* A value, or the status that says why there is none. */
template <class R>
class [[nodiscard]] result {
public:
    result(std::int32_t status, R &&value) : status_(status), value_(std::move(value)) {}
    explicit operator bool() const noexcept { return status_ == RELGRAD_OK; }
    std::int32_t status() const noexcept { return status_; }
    R &operator*() noexcept { return value_; }
    const R &operator*() const noexcept { return value_; }
    R *operator->() noexcept { return &value_; }
    const R *operator->() const noexcept { return &value_; }

private:
    std::int32_t status_;
    R value_;
};

template <>
class [[nodiscard]] result<void> {
public:
    explicit result(std::int32_t status) noexcept : status_(status) {}
    explicit operator bool() const noexcept { return status_ == RELGRAD_OK; }
    std::int32_t status() const noexcept { return status_; }

private:
    std::int32_t status_;
};

/* Calls return a result. */
struct codes {
    template <class R>
    using result = relgrad::result<R>;
    template <class R, class Text>
    static result<R> give(std::int32_t status, R &&value, Text &&) {
        return {status, std::move(value)};
    }
    template <class Text>
    static result<void> give(std::int32_t status, Text &&) {
        return result<void>(status);
    }
};

#if RELGRAD_EXCEPTIONS
/* Calls return what they give, or throw an error. */
struct exceptions {
    template <class R>
    using result = R;
    template <class R, class Text>
    static R give(std::int32_t status, R &&value, Text &&text) {
        if (status != RELGRAD_OK) {
            throw error(status, text());
        }
        return std::move(value);
    }
    template <class Text>
    static void give(std::int32_t status, Text &&text) {
        if (status != RELGRAD_OK) {
            throw error(status, text());
        }
    }
};
using default_errors = exceptions;
#else
using default_errors = codes;
#endif

/* -- what the C functions are called in each precision ------------------------------------ */

template <class T>
struct c_api;

#define RELGRAD_C_API(T, SUFFIX)                                                               \
    template <>                                                                                \
    struct c_api<T> {                                                                          \
        using context = relgrad_context##SUFFIX;                                               \
        using batch = relgrad_batch##SUFFIX;                                                   \
        static constexpr auto query_sizes = &relgrad_query_sizes##SUFFIX;                      \
        static constexpr auto init = &relgrad_init##SUFFIX;                                    \
        static constexpr auto attach = &relgrad_attach##SUFFIX;                                \
        static constexpr auto message = &relgrad_message##SUFFIX;                              \
        static constexpr auto params_init = &relgrad_params_init##SUFFIX;                      \
        static constexpr auto params_init_data = &relgrad_params_init_data##SUFFIX;            \
        static constexpr auto refresh = &relgrad_refresh##SUFFIX;                              \
        static constexpr auto log_det = &relgrad_log_det##SUFFIX;                              \
        static constexpr auto steps = &relgrad_steps##SUFFIX;                                  \
        static constexpr auto set_parallel = &relgrad_set_parallel##SUFFIX;                    \
        static constexpr auto step = &relgrad_step##SUFFIX;                                    \
        static constexpr auto gradient = &relgrad_gradient##SUFFIX;                            \
        static constexpr auto accumulate = &relgrad_accumulate##SUFFIX;                        \
        static constexpr auto merge = &relgrad_merge##SUFFIX;                                  \
        static constexpr auto apply = &relgrad_apply##SUFFIX;                                  \
        static constexpr auto factors = &relgrad_factors##SUFFIX;                              \
        static constexpr auto apply_factors = &relgrad_apply_factors##SUFFIX;                  \
        static constexpr auto forward = &relgrad_forward##SUFFIX;                              \
        static constexpr auto log_likelihood = &relgrad_log_likelihood##SUFFIX;                \
        static constexpr auto factorize = &relgrad_factorize##SUFFIX;                          \
        static constexpr auto inverse = &relgrad_inverse##SUFFIX;                              \
        static constexpr auto sample = &relgrad_sample##SUFFIX;                                \
    };
RELGRAD_C_API(float, )
RELGRAD_C_API(double, _f64)
#undef RELGRAD_C_API

/* -- configurations and batches ----------------------------------------------------------- */

/* relgrad_config with its defaults. */
struct config : relgrad_config {
    config(std::uint32_t dim_, std::uint32_t layers_) noexcept : relgrad_config{} {
        relgrad_config_default(this, dim_, layers_);
    }
    /* What is wrong with it; empty if nothing is. */
    std::string complaint() const {
        char text[256] = "";
        relgrad_config_check(this, text, sizeof text);
        return text;
    }
};

template <class T>
std::int32_t query_sizes(const relgrad_config &c, relgrad_sizes &sizes) noexcept {
    return c_api<T>::query_sizes(&c, &sizes);
}

/* Rows of data that stay where they are, with what belongs to them. */
template <class T>
class batch {
public:
    batch(view<const T> x, std::size_t rows) noexcept : x_(x) { raw_.rows = rows; }
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
    /* For RELGRAD_BASE_CUSTOM: base(sample, z, log_density, score) on views of dim numbers. It
     * must outlive the batch; an exception ends the call with RELGRAD_ERR_CALLBACK. */
    template <class Base>
    batch &density(Base &base) noexcept {
        raw_.user = &base;
        raw_.base = [](void *user, std::size_t sample, const T *z, T *log_density, T *score,
                       std::size_t dim) -> std::int32_t {
            auto call = [&] {
                (*static_cast<Base *>(user))(sample, view<const T>(z, dim),
                                             view<T>(log_density, dim), view<T>(score, dim));
            };
#if RELGRAD_EXCEPTIONS
            try {
                call();
            } catch (...) {
                return 1;
            }
#else
            call();
#endif
            return 0;
        };
        return *this;
    }

    /* A part of a batch of `rows` rows, at most max_batch, for model::factors. */
    batch &of_whole(std::size_t rows) noexcept {
        raw_.whole = rows;
        return *this;
    }

    std::size_t rows() const noexcept { return raw_.rows; }

    /* As C wants it, for `dim` features; RELGRAD_ERR_LENGTH if the views are too short. */
    std::int32_t read(std::size_t dim, typename c_api<T>::batch &out) const noexcept {
        out = raw_;
        out.x = x_.data();
        out.weights = weighted_ ? weights_.data() : nullptr;
        const std::size_t ld = raw_.ld == 0 ? dim : raw_.ld;
        const bool fits = raw_.rows == 0 || (x_.size() >= dim && (x_.size() - dim) / ld + 1 >= raw_.rows);
        return fits && (!weighted_ || weights_.size() >= raw_.rows) ? RELGRAD_OK
                                                                    : RELGRAD_ERR_LENGTH;
    }

private:
    view<const T> x_;
    view<const T> weights_;
    bool weighted_ = false;
    typename c_api<T>::batch raw_ = {};
};

/* -- threads ------------------------------------------------------------------------------- */

/* The parts of one call's work: run(i) does part i, on any thread. */
class parts {
public:
    parts(relgrad_task run, void *task) noexcept : run_(run), task_(task) {}
    void operator()(std::size_t i) const noexcept { run_(task_, i); }

private:
    relgrad_task run_;
    void *task_;
};

/* -- sessions: in memory of yours ---------------------------------------------------------- */

/* A log-determinant and the steps since it was exact. */
struct known_log_det {
    double value = 0;
    std::uint64_t age = 0;
};

/* The three pieces of memory a session works in; see relgrad_sizes. */
template <class T>
struct buffers {
    view<T> params;
    bytes state;
    bytes workspace;
};

/* A model in your memory, which must outlive it. Calls from one thread at a time. */
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

    session(session &&) noexcept = default;
    session &operator=(session &&) noexcept = default;
    session(const session &) = delete;
    session &operator=(const session &) = delete;

    view<T> params() const noexcept { return params_; }
    std::size_t dim() const noexcept { return dim_; }
    typename api::context *context() const noexcept { return context_; }

    /* Why the last call was refused; empty after a success. */
    std::string message() const {
        char text[256] = "";
        if (context_ != nullptr) {
            api::message(context_, text, sizeof text);
        }
        return text;
    }

    result<void> init(std::uint32_t how, std::uint64_t seed) {
        return give(api::params_init(context_, params_.data(), params_.size(), how, seed));
    }
    result<void> init(std::uint32_t how, const batch<T> &data, std::uint64_t seed, bytes scratch,
                      double ridge = 1e-6) {
        return with(data, [&](const auto *x) {
            return api::params_init_data(context_, params_.data(), params_.size(), x, how, seed,
                                         ridge, scratch.data(), scratch.size());
        });
    }
    result<relgrad_refresh_report> refresh(bytes scratch) {
        relgrad_refresh_report report{};
        const auto status = api::refresh(context_, params_.data(), params_.size(), scratch.data(),
                                         scratch.size(), &report);
        return give(status, std::move(report));
    }
    result<known_log_det> log_det() const {
        known_log_det out;
        const auto status = api::log_det(context_, &out.value, &out.age);
        return give(status, std::move(out));
    }
    result<std::uint64_t> steps() const {
        std::uint64_t out = 0;
        const auto status = api::steps(context_, &out);
        return give(status, std::move(out));
    }

    /* Calls run their work by parallel_for(count, run), as if on `threads` (1 to 64) threads: it
     * calls run(i) of relgrad::parts for each i below count, on threads of yours, and comes back
     * when these calls have. It must outlive the session. Parts that it leaves out, also because
     * it throws, are done by the calling thread. */
    template <class ParallelFor>
    result<void> set_parallel(ParallelFor &parallel_for, std::uint32_t threads) {
        const auto call = [](void *user, relgrad_task run, void *task, std::size_t count) {
            auto &f = *static_cast<ParallelFor *>(user);
#if RELGRAD_EXCEPTIONS
            try {
                f(count, parts(run, task));
            } catch (...) {
            }
#else
            f(count, parts(run, task));
#endif
        };
        return give(api::set_parallel(context_, call, &parallel_for, threads));
    }
    /* On the calling thread alone again. */
    result<void> set_parallel(std::nullptr_t) {
        return give(api::set_parallel(context_, nullptr, nullptr, 1));
    }

    result<relgrad_report> step(const batch<T> &data, double rate) {
        return reported(data, [&](const auto *x, relgrad_report *report) {
            return api::step(context_, params_.data(), params_.size(), x, rate, report);
        });
    }
    result<relgrad_report> gradient(const batch<T> &data, view<T> out) {
        return reported(data, [&](const auto *x, relgrad_report *report) {
            return api::gradient(context_, params_.data(), params_.size(), x, out.data(),
                                 out.size(), report);
        });
    }

    result<void> accumulate(const batch<T> &data, view<T> sums, relgrad_totals &totals) {
        return with(data, [&](const auto *x) {
            return api::accumulate(context_, params_.data(), params_.size(), x, sums.data(),
                                   sums.size(), &totals);
        });
    }
    result<void> merge(view<T> sums, relgrad_totals &totals, view<const T> other,
                       const relgrad_totals &other_totals) {
        return give(api::merge(context_, sums.data(), sums.size(), &totals, other.data(),
                               other.size(), &other_totals));
    }
    result<relgrad_report> apply(view<const T> sums, const relgrad_totals &totals, double rate) {
        relgrad_report report{};
        const auto status = api::apply(context_, params_.data(), params_.size(), sums.data(),
                                       sums.size(), &totals, rate, &report);
        return give(status, std::move(report));
    }
    result<void> factors(const batch<T> &data, view<T> out, relgrad_totals &totals) {
        return with(data, [&](const auto *x) {
            return api::factors(context_, params_.data(), params_.size(), x, out.data(),
                                out.size(), &totals);
        });
    }
    result<relgrad_report> apply_factors(view<const T> factors, std::size_t rows,
                                         const relgrad_totals &totals, double rate) {
        relgrad_report report{};
        const auto status =
            api::apply_factors(context_, params_.data(), params_.size(), factors.data(),
                               factors.size(), rows, nullptr, &totals, rate, &report);
        return give(status, std::move(report));
    }

    /* Latents of a batch. */
    result<void> forward(const batch<T> &data, view<T> z) {
        return with(data, [&](const auto *x) {
            return api::forward(context_, params_.data(), params_.size(), x, z.data(), z.size());
        });
    }
    /* Exact log-densities of a batch's rows. */
    result<void> log_likelihood(const batch<T> &data, view<double> log_p) {
        return with(data, [&](const auto *x) {
            return api::log_likelihood(context_, params_.data(), params_.size(), x, log_p.data(),
                                       log_p.size());
        });
    }
    result<void> factorize(bytes factorization) const {
        return give(api::factorize(context_, params_.data(), params_.size(), factorization.data(),
                                   factorization.size()));
    }
    /* Data from latents; an empty factorization stands for tracked inverses. */
    result<relgrad_inversion> inverse(view<const unsigned char> factorization, view<const T> z,
                                      view<T> x) {
        relgrad_inversion report{};
        const auto status = api::inverse(context_, params_.data(), params_.size(),
                                         factorization.data(), factorization.size(), z.data(),
                                         z.size(), z.size() / dim_, x.data(), x.size(), &report);
        return give(status, std::move(report));
    }
    /* As many samples as fit into x, from number `first_row` on of those that belong to `seed`. */
    result<relgrad_inversion> sample(view<const unsigned char> factorization, std::uint64_t seed,
                                     view<T> x, std::uint64_t first_row = 0) {
        relgrad_inversion worst{};
        std::int32_t status = RELGRAD_OK;
        std::size_t done = 0, rows = x.size() / dim_;
        do {
            const std::size_t left = rows - done, part = left < max_batch_ ? left : max_batch_;
            relgrad_inversion report{};
            status = api::sample(context_, params_.data(), params_.size(), factorization.data(),
                                 factorization.size(), seed, first_row + done, part,
                                 x.data() + done * dim_, part * dim_, &report);
            worst.iterations = std::max(worst.iterations, report.iterations);
            worst.newton_residual = std::max(worst.newton_residual, report.newton_residual);
            worst.residual = std::max(worst.residual, report.residual);
            done += part;
        } while (status == RELGRAD_OK && done < rows);
        return give(status, std::move(worst));
    }

private:
    template <class, class>
    friend class model;
    session() noexcept = default;

    template <class Make>
    static result<session> make(Make *create, const relgrad_config &c, const buffers<T> &m) {
        session out;
        std::int32_t status = relgrad_abi_check(RELGRAD_ABI_VERSION, sizeof(relgrad_config));
        if (status == RELGRAD_OK) {
            status = create(&c, m.state.data(), m.state.size(), m.workspace.data(),
                            m.workspace.size(), &out.context_);
        }
        out.params_ = m.params;
        out.dim_ = c.dim;
        out.max_batch_ = c.max_batch;
        return Errors::give(status, std::move(out), [&c] {
            char text[256] = "";
            relgrad_config_check(&c, text, sizeof text);
            return std::string(text);
        });
    }
    template <class R>
    result<R> give(std::int32_t status, R &&value) const {
        return Errors::give(status, std::move(value), [this] { return message(); });
    }
    result<void> give(std::int32_t status) const {
        return Errors::give(status, [this] { return message(); });
    }
    template <class Call>
    std::int32_t on(const batch<T> &data, Call &&call) const {
        typename api::batch x;
        const std::int32_t status = data.read(dim_, x);
        return status == RELGRAD_OK ? call(&x) : status;
    }
    template <class Call>
    result<void> with(const batch<T> &data, Call &&call) const {
        return give(on(data, call));
    }
    template <class Call>
    result<relgrad_report> reported(const batch<T> &data, Call &&call) const {
        relgrad_report report{};
        const auto status = on(data, [&](const auto *x) { return call(x, &report); });
        return give(status, std::move(report));
    }

    typename api::context *context_ = nullptr;
    view<T> params_;
    std::size_t dim_ = 1, max_batch_ = 1;
};

/* -- models: with memory of their own ------------------------------------------------------ */

/* Owned bytes, aligned as relgrad wants them. Large ones ask Linux for huge pages: without them
 * steps of thousands of features spend a tenth of their time on the translation of addresses. */
class memory {
public:
    memory() noexcept = default;
    explicit memory(std::size_t size)
        : memory(size, std::align_val_t{size < 12 * huge_page ? RELGRAD_ALIGNMENT : huge_page}) {}
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
        relgrad_sizes sizes{};
        std::int32_t status = query_sizes<T>(c, sizes);
        if (status == RELGRAD_OK) {
            const std::size_t scratch =
                sizes.refresh_bytes > sizes.start_bytes ? sizes.refresh_bytes : sizes.start_bytes;
            out.params_memory_ = memory(sizes.params_len * sizeof(T));
            out.state_ = memory(sizes.state_bytes);
            out.workspace_ = memory(sizes.workspace_bytes);
            out.scratch_ = memory(scratch);
            out.factorization_ = memory(sizes.factorization_bytes);
            for (T &p : out.params_memory_.template of<T>()) {
                p = T(0);
            }
            auto opened = session<T, codes>::open(
                c, {out.params_memory_.template of<T>(), out.state_, out.workspace_});
            status = opened.status();
            out.context_ = opened->context_;
            out.params_ = opened->params_;
            out.dim_ = c.dim;
            out.max_batch_ = c.max_batch;
        }
        return Errors::give(status, std::move(out), [&c] {
            char text[256] = "";
            relgrad_config_check(&c, text, sizeof text);
            return std::string(text);
        });
    }

    using base::init;
    result<void> init(std::uint32_t how, const batch<T> &data, std::uint64_t seed) {
        return base::init(how, data, seed, scratch_);
    }
    result<relgrad_refresh_report> refresh() { return base::refresh(scratch_); }
    result<void> factorize() { return base::factorize(factorization_); }
    /* Call factorize after parameters have changed and before these two. */
    result<relgrad_inversion> inverse(view<const T> z, view<T> x) {
        return base::inverse(factorization_, z, x);
    }
    result<relgrad_inversion> sample(std::uint64_t seed, view<T> x, std::uint64_t first_row = 0) {
        return base::sample(factorization_, seed, x, first_row);
    }
    /* The optimizer state, to be kept with the parameters. */
    bytes state() const noexcept { return state_; }

private:
    model() noexcept = default;
    memory params_memory_, state_, workspace_, scratch_, factorization_;
};

} // namespace relgrad

#undef RELGRAD_EXCEPTIONS
#endif
