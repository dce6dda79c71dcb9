// Learns a noisy parabola, scores two points, samples, and hashes the parameters.
#include <relgrad.hpp>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

constexpr std::size_t rows = 2000, batch_rows = 20;

static int uniform() { // 0 to 1023, from a 31-bit generator
    static std::int64_t seed = 1;
    seed = seed * 16807 % 2147483647;
    return static_cast<int>(seed / 2097152);
}

static void run() {
    std::vector<float> x;
    for (std::size_t i = 0; i < rows; i++) {
        const float t = static_cast<float>(uniform() - 512) / 256;
        const int a = uniform(), b = uniform();
        x.insert(x.end(), {t, t * t + static_cast<float>(a + b - 1024) / 1024});
    }
    const relgrad::view<const float> all(x.data(), x.size());
    const auto batch_at = [&](std::size_t i) {
        return relgrad::batch<float>(all.subspan(2 * i, 2 * batch_rows), batch_rows);
    };

    relgrad::config config(2, 4);
    config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    config.max_batch = batch_rows;
    config.input_transform = 1;

    auto model = relgrad::model<float>::make(config);
    model.init(RELGRAD_INIT_WHITENED, relgrad::batch<float>(all, rows), 1);
    for (int epoch = 0; epoch < 20; epoch++) {
        for (std::size_t i = 0; i < rows; i += batch_rows) {
            model.step(batch_at(i), 0.05);
        }
    }
    model.refresh();

    double sum = 0;
    std::vector<double> log_p(batch_rows);
    for (std::size_t i = 0; i < rows; i += batch_rows) {
        model.log_likelihood(batch_at(i), log_p);
        for (double p : log_p) {
            sum += p;
        }
    }
    std::printf("mean log-likelihood %8.4f\n", sum / rows);

    const float points[] = {1, 1, 1, 3};
    model.log_likelihood(relgrad::batch<float>(points, 2), log_p);
    std::printf("log-density on the curve %8.4f, off it %8.4f\n", log_p[0], log_p[1]);

    float sample[2];
    model.factorize();
    model.sample(7, sample);
    std::printf("a sample %8.4f %8.4f\n", static_cast<double>(sample[0]),
                static_cast<double>(sample[1]));

    std::uint32_t hash = 2166136261;
    for (float p : model.params()) {
        std::uint32_t word;
        std::memcpy(&word, &p, sizeof word);
        hash = (hash ^ word) * 16777619;
    }
    std::printf("parameters %08" PRIX32 "\n", hash);
}

int main() {
    try {
        run();
    } catch (const relgrad::error &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
