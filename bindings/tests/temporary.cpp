// What a batch or a model keeps must be there for longer than a line: temporaries that hold data, or
// a function, do not compile. With CASE 0 all that is allowed, with any other one that is not.
#include <relgrad.hpp>

#include <array>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#define CASES 10

using batch = relgrad::batch<float>;

struct density {
    void operator()(std::size_t, relgrad::view<const float>, relgrad::view<float>,
                    relgrad::view<float>) const {}
};
struct in_order {
    void operator()(std::size_t, relgrad::parts) const {}
};

[[maybe_unused]] static std::vector<float> numbers() { return std::vector<float>(4); }
[[maybe_unused]] static const std::vector<float> const_numbers() { return std::vector<float>(4); }
[[maybe_unused]] static const density a_density() { return {}; }

void all(relgrad::model<float> &model, std::vector<float> &lvalue, const std::vector<float> &constant,
         relgrad::view<float> view, const relgrad::view<const float> of_const, float *pointer);

void all(relgrad::model<float> &model, std::vector<float> &lvalue, const std::vector<float> &constant,
         relgrad::view<float> view, const relgrad::view<const float> of_const, float *pointer) {
    density base;
    const density const_base;
    in_order order;
    const in_order const_order;
    batch ours(lvalue, 1);
#if CASE == 0
    const float array[] = {1, 2, 3, 4};
    const std::array<float, 4> std_array{1, 2, 3, 4};
    for (batch one : {batch(lvalue, 1), batch(constant, 1), batch(view, 1), batch(of_const, 1),
                      batch(array, 1), batch(std_array, 1), batch({pointer, 4}, 1),
                      batch(relgrad::view<float>(lvalue), 1), batch(view.subspan(0, 2), 1),
                      batch(std::as_const(lvalue), 1), batch(std::move(view), 1)}) {
        one.weights(lvalue).weights(constant).weights(of_const).weights({pointer, 1});
        one.weights(relgrad::view<const float>(lvalue)).weights(array);
        one.condition(lvalue).condition(of_const).condition({pointer, 1}).condition(array);
        one.density(base).density(const_base);
    }
#if __cplusplus >= 202002L
    const std::span<float, 4> fixed(pointer, 4);
    batch(fixed, 1).weights(std::span(lvalue));
    batch(std::span(pointer, 4), 1).weights(std::span<const float, 2>(pointer, 2));
#endif
    model.set_parallel(order, 2);
    model.set_parallel(const_order, 2);
    // What a call reads may be temporary.
    model.inverse(numbers(), view);
    model.sample_given(1, numbers(), view);
#elif CASE == 1
    batch one(std::vector<float>(4), 1);
#elif CASE == 2
    batch one(const_numbers(), 1);
#elif CASE == 3
    batch one(std::array<float, 4>{}, 1);
#elif CASE == 4
    batch one(std::move(lvalue), 1);
#elif CASE == 5
    ours.weights(numbers());
#elif CASE == 6
    ours.density(density());
#elif CASE == 7
    ours.density(a_density());
#elif CASE == 8
    model.set_parallel(in_order(), 2);
#elif CASE == 9
    ours.condition(numbers());
#elif CASE == CASES
    model.set_parallel([](std::size_t, relgrad::parts) {}, 2);
#endif
    static_cast<void>(constant), static_cast<void>(of_const), static_cast<void>(pointer);
    static_cast<void>(const_base), static_cast<void>(const_order), static_cast<void>(base);
    static_cast<void>(order), static_cast<void>(model), static_cast<void>(view);
}
