/* Data-parallel training with MPI. Every rank holds the whole model and takes its share of each
 * batch; all ranks make the same step, so the models stay equal without being sent.
 *
 *   mpirun -np N train dense|factors|given STEPS CHECKPOINT [RANK STEP]
 *
 * dense: Adam. Each rank accumulates its rows' gradient, MPI adds them up, relgrad_apply steps.
 * The batch's gradient up to the order of summation; D x D numbers a layer travel.
 *
 * factors: natural. Each rank finds the factors of its rows' gradients, MPI gathers them in the
 * order of ranks, relgrad_apply_factors steps: the bits of one process with the whole batch, for
 * any number of ranks, at 2 B x D numbers a layer.
 *
 * given: factors of a density given one of CLASSES classes, which travel with the factors.
 *
 * Rank 0 writes a checkpoint every 50 steps beside the old one and renames it, so that there is
 * always a whole one; if CHECKPOINT is there, the run goes on from it. RANK ends itself at STEP,
 * for tests. The last line is a hash of the parameters. */
#include <mpi.h>
#include <relgrad.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 16, LAYERS = 3, BATCH = 32, EVERY = 50, CLASSES = 3 };

static int rank, ranks;
static relgrad_context *model;
static const char *doing = "starting";

/* Whatever goes wrong on one rank ends all of them, with a text that says where. */
static _Noreturn void stop(const char *why) {
    fprintf(stderr, "rank %d of %d, %s: %s\n", rank, ranks, doing, why);
    MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

static void ok(int32_t status) {
    char text[256] = "";
    if (status == RELGRAD_OK) return;
    if (model != NULL) relgrad_message(model, text, sizeof text);
    stop(*text ? text : relgrad_status_string(status));
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(RELGRAD_ALIGNMENT, (bytes + 63) / 64 * 64);
    if (p == NULL) stop("no memory");
    memset(p, 0, bytes);
    return p;
}

/* The model; `given` the class of a sample, or not. */
static void configure(relgrad_config *config, uint32_t optimizer, int given) {
    config->struct_size = sizeof *config;
    ok(relgrad_config_default(config, DIM, LAYERS));
    config->optimizer = optimizer;
    config->max_batch = BATCH; /* the whole batch: apply_factors sums over all of it */
    config->condition = given ? RELGRAD_CONDITION_CLASSES : RELGRAD_CONDITION_NONE;
    config->condition_len = CLASSES;
    config->conditioned = RELGRAD_CONDITIONED_BOTH;
}

/* Row `row` of batch `step` and its class; the same whichever rank asks. Sources of sums, mixed; those of
 * a class lie apart. */
static void sample(uint64_t step, int row, float *x, float *class) {
    uint64_t seed = step * BATCH + (uint64_t)row + 1;
    float source[DIM];
    for (int i = 0; i < DIM; i++) {
        int32_t sum = 0;
        for (int j = 0; j < 3; j++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sum += (int32_t)(seed >> 56) - 128;
        }
        source[i] = (float)sum / 128;
    }
    *class = (float)(row % CLASSES);
    for (int i = 0; i < DIM; i++) x[i] = source[i] + source[(i + 1) % DIM] / 2 + *class;
}

static void write_checkpoint(const char *path, const void *blob, size_t bytes) {
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside) stop("path too long");
    FILE *f = fopen(beside, "wb");
    if (f == NULL || fwrite(blob, 1, bytes, f) != bytes || fflush(f) != 0 || fsync(fileno(f)) != 0
        || fclose(f) != 0 || rename(beside, path) != 0) {
        perror(beside);
        stop("the checkpoint cannot be written");
    }
}

/* Whether there is one; a damaged one is refused by relgrad_load. */
static int read_checkpoint(const char *path, void *blob, size_t bytes) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return 0;
    size_t got = fread(blob, 1, bytes, f);
    fclose(f);
    if (got != bytes) stop("the checkpoint is of another length");
    return 1;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if ((argc != 4 && argc != 6) || BATCH % ranks != 0) {
        stop("usage: train dense|factors|given STEPS CHECKPOINT [RANK STEP]; ranks must divide 32");
    }
    const int given = strcmp(argv[1], "given") == 0, factors = given || strcmp(argv[1], "factors") == 0;
    const uint64_t steps = strtoull(argv[2], NULL, 10);
    const char *checkpoint = argv[3];
    const int dies = argc == 6 && atoi(argv[4]) == rank;
    const uint64_t dies_at = argc == 6 ? strtoull(argv[5], NULL, 10) : 0;

    relgrad_config config;
    relgrad_sizes size = {.struct_size = sizeof size};
    size_t blob_bytes;
    configure(&config, factors ? RELGRAD_OPTIMIZER_NATURAL : RELGRAD_OPTIMIZER_ADAM, given);
    ok(relgrad_query_sizes(&config, &size));
    ok(relgrad_blob_bytes(&config, &blob_bytes));
    float *params = memory(size.params_len * sizeof *params);
    void *state = memory(size.state_bytes), *workspace = memory(size.workspace_bytes);
    void *blob = memory(blob_bytes);
    ok(relgrad_init(&config, state, size.state_bytes, workspace, size.workspace_bytes, &model));
    ok(relgrad_params_init(model, params, size.params_len, RELGRAD_INIT_ORTHOGONAL, 1));

    doing = "reading the checkpoint";
    int resumed = rank == 0 && read_checkpoint(checkpoint, blob, blob_bytes);
    MPI_Bcast(&resumed, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (resumed) {
        MPI_Bcast(blob, (int)blob_bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
        ok(relgrad_load(model, params, size.params_len, blob, blob_bytes));
    }

    doing = "training";
    const int own = BATCH / ranks, one = (int)size.factors_len;
    const int travel = factors ? own * one : (int)size.gradient_len;
    float *mine = memory((size_t)travel * sizeof *mine);
    float *all = memory((size_t)(factors ? BATCH * one : travel) * sizeof *all);
    relgrad_totals *each = memory((size_t)ranks * sizeof *each);
    relgrad_report report = {.struct_size = sizeof report};
    uint64_t step;
    ok(relgrad_steps(model, &step));
    for (; step < steps; step++) {
        float x[BATCH * DIM], classes[BATCH];
        for (int i = 0; i < own; i++) sample(step, rank * own + i, x + i * DIM, classes + i);
        relgrad_batch batch = {.struct_size = sizeof batch, .x = x, .rows = (size_t)own, .whole = BATCH};
        if (given) batch.condition = classes;
        if (dies && step == dies_at) raise(SIGKILL);

        relgrad_totals part = {.struct_size = sizeof part}, totals = part;
        if (factors) {
            ok(relgrad_factors(model, params, size.params_len, &batch, mine, (size_t)travel, &part));
            MPI_Allgather(mine, travel, MPI_FLOAT, all, travel, MPI_FLOAT, MPI_COMM_WORLD);
        } else {
            memset(mine, 0, (size_t)travel * sizeof *mine);
            ok(relgrad_accumulate(model, params, size.params_len, &batch, mine, (size_t)travel, &part));
            MPI_Allreduce(mine, all, travel, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }
        /* Three sums, added in the order of ranks. */
        MPI_Allgather(&part, sizeof part, MPI_BYTE, each, sizeof part, MPI_BYTE, MPI_COMM_WORLD);
        for (int i = 0; i < ranks; i++) {
            totals.weight += each[i].weight;
            totals.base_density += each[i].base_density;
            totals.log_slopes += each[i].log_slopes;
        }
        if (factors) {
            ok(relgrad_apply_factors(model, params, size.params_len, all, (size_t)(BATCH * one), BATCH,
                                     NULL, &totals, 0.05, &report));
        } else {
            ok(relgrad_apply(model, params, size.params_len, all, (size_t)travel, &totals, 0.003,
                             &report));
        }
        if ((step + 1) % EVERY == 0 && rank == 0) {
            ok(relgrad_save(model, params, size.params_len, blob, blob_bytes));
            write_checkpoint(checkpoint, blob, blob_bytes);
        }
    }

    /* All ranks must have arrived at the same parameters. */
    doing = "comparing";
    uint64_t hash = UINT64_C(0xcbf29ce484222325), least, most;
    for (size_t i = 0; i < size.params_len * sizeof *params; i++) {
        hash = (hash ^ ((const unsigned char *)params)[i]) * UINT64_C(0x100000001b3);
    }
    MPI_Allreduce(&hash, &least, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(&hash, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    if (least != most) stop("the ranks' parameters differ");
    if (rank == 0) {
        printf("mean log-likelihood %.5f\nparameters %016" PRIx64 "\n", report.mean_log_likelihood,
               hash);
    }
    free(params), free(state), free(workspace), free(blob), free(mine), free(all), free(each);
    MPI_Finalize();
    return 0;
}
