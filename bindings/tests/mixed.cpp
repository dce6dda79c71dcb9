// One program of parts that differ in standard and exceptions. This file is each of them: PART is
// its name, and the part called main has what the others share.
#include <relgrad.hpp>

#include <array>
#include <cstdio>
#if __cplusplus >= 202002L
#include <span>
#endif

// A normal density that throws if it is told to.
struct density {
    bool throws = false;
    void operator()(std::size_t, relgrad::view<const float>, relgrad::view<float>,
                    relgrad::view<float>) const;
};

// The status of a step with a density.
using status_of_step = std::int32_t(const density &);
status_of_step cpp17, cpp20, cpp17_no_exceptions, cpp20_no_exceptions;
// A model, its batch and its error from another part.
double step_in_cpp20(relgrad::model<float> &, const relgrad::batch<float> &);
std::size_t length_in_cpp17_no_exceptions(relgrad::model<float, relgrad::codes> &);

static constexpr std::array<float, 8> x{0.1f, 0.2f, -0.3f, 0.4f, 0.5f, -0.6f, 0.7f, 0.8f};

static relgrad::config with_density() {
    relgrad::config c(2, 2);
    c.base = RELGRAD_BASE_CUSTOM;
    c.max_batch = 4;
    return c;
}

#define NAME(part) NAME_(part)
#define NAME_(part) part

#if !defined(MAIN)
std::int32_t NAME(PART)(const density &base) {
    auto model = relgrad::model<float, relgrad::codes>::make(with_density());
    const auto alone = [](std::size_t count, relgrad::parts run) {
        for (std::size_t i = 0; i < count; i++) {
            run(i);
        }
    };
    if (!model || !model->set_parallel(alone, 2) || !model->init(RELGRAD_INIT_ORTHOGONAL, 1)) {
        return 1;
    }
    return model->step(relgrad::batch<float>(x, 4).density(base), 0.1).status();
}
#if __cplusplus >= 202002L && defined(__cpp_exceptions)
// A view becomes a span where one is asked for, and a span a view.
static void check_spans(std::span<const float> z, std::span<float>) {
    static_cast<void>(relgrad::batch<float>(z, 1));
    static_cast<void>(relgrad::batch<float>(std::span(x), 1));
}
double step_in_cpp20(relgrad::model<float> &model, const relgrad::batch<float> &batch) {
    check_spans(model.params(), model.params());
    return model.step(batch, 0.1).mean_log_likelihood;
}
#elif __cplusplus < 202002L && !defined(__cpp_exceptions)
std::size_t length_in_cpp17_no_exceptions(relgrad::model<float, relgrad::codes> &model) {
    return model.params().size();
}
#endif
#else
void density::operator()(std::size_t, relgrad::view<const float> z, relgrad::view<float> log_p,
                         relgrad::view<float> score) const {
    if (throws) {
        throw 1;
    }
    for (std::size_t i = 0; i < z.size(); i++) {
        log_p[i] = -z[i] * z[i] / 2;
        score[i] = -z[i];
    }
}

int main() {
    density base;
    for (status_of_step *part : {cpp17, cpp20, cpp17_no_exceptions, cpp20_no_exceptions}) {
        if (part(base) != RELGRAD_OK) {
            return 1;
        }
    }
    base.throws = true;
    if (cpp17(base) != RELGRAD_ERR_CALLBACK || cpp20(base) != RELGRAD_ERR_CALLBACK) {
        return 2;
    }
    auto model = relgrad::model<float>::make(with_density());
    model.init(RELGRAD_INIT_ORTHOGONAL, 1);
    const auto batch = relgrad::batch<float>(x, 4).density(base);
    try {
        step_in_cpp20(model, batch);
        return 3;
    } catch (int) {
    }
    base.throws = false;
    if (!(step_in_cpp20(model, batch) < 0) || model.steps() != 1) {
        return 4;
    }
    try {
        step_in_cpp20(model, relgrad::batch<float>(x, 5));
        return 5;
    } catch (const relgrad::error &e) {
        if (e.status() != RELGRAD_ERR_LENGTH) {
            return 6;
        }
    }
#if defined(HAND_OVER)
    auto other = relgrad::model<float, relgrad::codes>::make(with_density());
    return length_in_cpp17_no_exceptions(*other) > 0 ? 0 : 7;
#endif
}
#endif
