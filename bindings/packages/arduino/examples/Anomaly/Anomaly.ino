// Learns what the first four analog pins usually read, while it runs, and prints how unlikely each
// reading is: -log p in nats, larger when something is unusual.
#include <relgrad.h>

enum { DIM = 4, LAYERS = 2, BATCH = 4 };

// Sizes depend on DIM, LAYERS and the settings; setup() checks them.
static float params[144];
static size_t params_len;
alignas(RELGRAD_ALIGNMENT) static unsigned char state[1344], workspace[7424];
static relgrad_context *model;
static float rows[BATCH * DIM];
static int filled;

static void stop(const char *what, int32_t status) {
  for (;;) {
    Serial.print(what);
    Serial.print(": ");
    Serial.println(relgrad_status_string(status));
    delay(1000);
  }
}

void setup() {
  Serial.begin(115200);
  relgrad_config config = {};
  relgrad_sizes sizes = {};
  config.struct_size = sizeof config;
  sizes.struct_size = sizeof sizes;
  int32_t status = relgrad_config_default(&config, DIM, LAYERS);
  config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
  config.max_batch = BATCH;
  if (status == RELGRAD_OK) status = relgrad_query_sizes(&config, &sizes);
  if (status != RELGRAD_OK) stop("settings", status);
  if (sizes.params_len > sizeof params / sizeof *params || sizes.state_bytes > sizeof state ||
      sizes.workspace_bytes > sizeof workspace) {
    stop("the arrays of this sketch are too small", RELGRAD_ERR_LENGTH);
  }
  params_len = sizes.params_len;
  status = relgrad_init(&config, state, sizes.state_bytes, workspace, sizes.workspace_bytes, &model);
  if (status == RELGRAD_OK) {
    status = relgrad_params_init(model, params, params_len, RELGRAD_INIT_ORTHOGONAL, 1);
  }
  if (status != RELGRAD_OK) stop("start", status);
}

void loop() {
  // A reading, in numbers near 1.
  float *x = rows + filled * DIM;
  for (int i = 0; i < DIM; i++) x[i] = analogRead(A0 + i) / 512.0f - 1.0f;

  relgrad_batch one = {};
  one.struct_size = sizeof one;
  one.x = x;
  one.rows = 1;
  double log_p;
  int32_t status = relgrad_log_likelihood(model, params, params_len, &one, &log_p, 1);
  if (status != RELGRAD_OK) stop("score", status);
  Serial.println(-log_p);

  // It learns from a few readings at a time.
  if (++filled == BATCH) {
    filled = 0;
    relgrad_batch batch = {};
    batch.struct_size = sizeof batch;
    batch.x = rows;
    batch.rows = BATCH;
    status = relgrad_step(model, params, params_len, &batch, 0.02, nullptr);
    if (status != RELGRAD_OK) stop("step", status);
  }
  delay(100);
}
