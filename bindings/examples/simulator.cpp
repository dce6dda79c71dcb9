// In-situ learning: a simulator and a model in one process.
//
// Walkers diffuse in a potential with two wells that are not equally deep, over a barrier that
// they hardly ever cross by themselves; half of them start in either well. A model learns from
// the stream of their positions, has exact log-densities at every moment, and proposes samples
// back: as independent Metropolis proposals they carry walkers across. With the model frozen,
// this samples the true distribution, so the wells' weights come out right, which the walkers
// alone do not know.
#include <relgrad.hpp>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

constexpr std::size_t dim = 2, walkers = 100;

// The potential: wells near x = -1 and x = 1, the right one lower by about 2 units; the valley
// floor is bent.
double potential(const float *p) {
    const double x = static_cast<double>(p[0]), y = static_cast<double>(p[1]);
    const double across = x * x - 1, along = y - x * x;
    return 12 * across * across - x + 4 * along * along;
}

void force(const float *p, float *f) {
    const double x = static_cast<double>(p[0]), y = static_cast<double>(p[1]);
    const double along = y - x * x;
    f[0] = static_cast<float>(-48 * x * (x * x - 1) + 1 + 16 * along * x);
    f[1] = static_cast<float>(-8 * along);
}

// The right well's share, by quadrature.
double exact_share() {
    double right = 0, all = 0;
    for (double x = -2; x < 2; x += 1e-3) {
        // The integral over y does not depend on x.
        const double w = std::exp(-12 * (x * x - 1) * (x * x - 1) + x);
        all += w;
        right += x > 0 ? w : 0;
    }
    return right / all;
}

class simulator {
public:
    simulator() {
        for (std::size_t i = 0; i < walkers; i++) {
            position_[dim * i] = i % 2 == 0 ? -1.0f : 1.0f;
            position_[dim * i + 1] = 1.0f;
        }
    }

    // Overdamped Langevin steps, corrected by Metropolis so that the distribution is exact.
    void diffuse(int steps) {
        const double dt = 0.01;
        for (std::size_t i = 0; i < walkers; i++) {
            float *p = position_ + dim * i;
            for (int s = 0; s < steps; s++) {
                float f[dim], g[dim], q[dim];
                force(p, f);
                for (std::size_t j = 0; j < dim; j++) {
                    q[j] = p[j] + static_cast<float>(dt) * f[j]
                           + static_cast<float>(std::sqrt(2 * dt) * normal_(random_));
                }
                force(q, g);
                double forth = 0, back = 0;
                for (std::size_t j = 0; j < dim; j++) {
                    const double a = static_cast<double>(q[j]) - static_cast<double>(p[j]);
                    const double u = a - dt * static_cast<double>(f[j]);
                    const double v = -a - dt * static_cast<double>(g[j]);
                    forth -= u * u / (4 * dt);
                    back -= v * v / (4 * dt);
                }
                accept(i, q, potential(p) - potential(q) + back - forth);
            }
        }
    }

    // Metropolis with ratio exp(log_ratio); whether the walker moved.
    bool accept(std::size_t walker, const float *to, double log_ratio) {
        float *p = position_ + dim * walker;
        if (std::log(uniform_(random_)) >= log_ratio) {
            return false;
        }
        if ((p[0] > 0) != (to[0] > 0)) {
            crossings_++;
        }
        p[0] = to[0];
        p[1] = to[1];
        return true;
    }

    relgrad::view<const float> positions() const { return {position_, dim * walkers}; }
    int crossings() const { return crossings_; }
    double share() const {
        double right = 0;
        for (std::size_t i = 0; i < walkers; i++) {
            right += position_[dim * i] > 0 ? 1.0 / walkers : 0;
        }
        return right;
    }

private:
    float position_[dim * walkers];
    int crossings_ = 0;
    std::mt19937_64 random_{1};
    std::normal_distribution<double> normal_;
    std::uniform_real_distribution<double> uniform_{0, 1};
};

// Offers every walker one of the model's samples; how many were taken.
int propose(relgrad::model<float> &model, simulator &world, std::uint64_t seed) {
    static float offered[dim * walkers];
    static double log_now[walkers], log_offered[walkers];
    model.sample(seed, offered);
    model.log_likelihood(relgrad::batch<float>(world.positions(), walkers), log_now);
    model.log_likelihood(relgrad::batch<float>(offered, walkers), log_offered);
    int taken = 0;
    for (std::size_t i = 0; i < walkers; i++) {
        const float *p = world.positions().data() + dim * i, *q = offered + dim * i;
        taken += world.accept(i, q, potential(p) - potential(q) + log_now[i] - log_offered[i]);
    }
    return taken;
}

} // namespace

int main() try {
    simulator world;
    world.diffuse(100);

    // The model learns from the positions where the simulator keeps them.
    relgrad::config config(dim, 8);
    config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    config.max_batch = walkers;
    config.input_transform = 1;
    auto model = relgrad::model<float>::make(config);
    model.init(RELGRAD_INIT_WHITENED, relgrad::batch<float>(world.positions(), walkers), 1);
    double first = 0, last = 0;
    const int steps = 4000;
    for (int t = 0; t < steps; t++) {
        world.diffuse(2);
        const auto report = model.step(relgrad::batch<float>(world.positions(), walkers),
                                       0.1 * (1 - t / static_cast<double>(steps)));
        (t < steps / 10 ? first : last) +=
            report.mean_log_likelihood / (t < steps / 10 ? steps / 10.0 : steps * 0.9);
    }
    std::printf("log-likelihood of the stream: %.3f in the first tenth, %.3f after it\n", first,
                last);
    std::printf("the walkers alone: %d crossings, right well %.3f, true share %.3f\n",
                world.crossings(), world.share(), exact_share());

    // The model is frozen and proposes.
    model.factorize();
    double share = 0;
    int taken = 0;
    const int rounds = 400, settle = 100;
    for (int t = 0; t < rounds; t++) {
        world.diffuse(2);
        taken += propose(model, world, static_cast<std::uint64_t>(t));
        share += t < settle ? 0 : world.share() / (rounds - settle);
    }
    const double rate = taken / static_cast<double>(rounds * static_cast<int>(walkers));
    std::printf("with proposals: %.0f %% taken, %d crossings, right well %.3f\n", 100 * rate,
                world.crossings(), share);
    const bool good = rate > 0.15 && last > first && std::abs(share - exact_share()) < 0.02;
    return good ? 0 : 1;
} catch (const relgrad::error &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
