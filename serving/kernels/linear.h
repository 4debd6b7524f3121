// x times an int8 matrix, with a scale for each row of x and for each output: `project` of
// serving/model.py for matrices that serving/kernels/library.py has packed.
//
// The matrix is `[out/16, in/4, 16, 4]` of uint8, 128 added to each value: VNNI multiplies four
// unsigned by four signed bytes in each of 16 lanes. What the 128 add is 128 times the sum of the
// row, and is taken off again.

enum { LANES = 16, DEPTH = 4, MOST_ROWS = 8, MOST_TILES = 4, AHEAD = 1024, SHARE_BYTES = 1 << 16 };

typedef struct {
  int64_t rows, in, out;
  int64_t share;            // tiles of 16 outputs that are computed at once
  const int8_t *x;          // rows in
  const float *x_scale;     // rows
  const int32_t *surplus;   // rows
  const uint8_t *matrix;    // out/16 in/4 16 4
  const float *scale;       // out
  float *y;                 // rows out
} Linear;

FAST INLINE void multiply_tiles(const Linear *l, int64_t row, int64_t tile, const int rows,
                                const int tiles) {
  const int64_t tile_bytes = LANES * l->in;
  const uint8_t *matrix = l->matrix + tile * tile_bytes;
  const int8_t *x = l->x + row * l->in;
  __m512i sum[MOST_ROWS][MOST_TILES];
  for (int r = 0; r < rows; r++)
    for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_setzero_si512();
  for (int64_t i = 0; i < l->in; i += DEPTH) {
    __m512i part[MOST_TILES];
    for (int t = 0; t < tiles; t++) {
      const uint8_t *here = matrix + t * tile_bytes + i * LANES;
      part[t] = _mm512_loadu_si512(here);
      _mm_prefetch((const char *)here + AHEAD, _MM_HINT_T0);
    }
    for (int r = 0; r < rows; r++) {
      int32_t four;
      memcpy(&four, x + r * l->in + i, sizeof four);
      const __m512i same = _mm512_set1_epi32(four);
      for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_dpbusd_epi32(sum[r][t], part[t], same);
    }
  }
  for (int r = 0; r < rows; r++) {
    const __m512i surplus = _mm512_set1_epi32(l->surplus[row + r]);
    const __m512 x_scale = _mm512_set1_ps(l->x_scale[row + r]);
    for (int t = 0; t < tiles; t++) {
      const int64_t out = (tile + t) * LANES;
      const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[r][t], surplus));
      const __m512 scale = _mm512_loadu_ps(l->scale + out);
      _mm512_storeu_ps(l->y + (row + r) * l->out + out,
                       _mm512_mul_ps(_mm512_mul_ps(exact, x_scale), scale));
    }
  }
}

// As many rows and tiles at once as there are registers for their sums.
FAST static void multiply_rows(const Linear *l, int64_t row, int rows, int64_t tile, int64_t end) {
#define ROWS(R, T)                                                        \
  case R:                                                                 \
    for (; tile + T <= end; tile += T) multiply_tiles(l, row, tile, R, T); \
    for (; tile < end; tile++) multiply_tiles(l, row, tile, R, 1);         \
    break;
  switch (rows) {
    ROWS(1, 4) ROWS(2, 4) ROWS(3, 4) ROWS(4, 4) ROWS(5, 2) ROWS(6, 2) ROWS(7, 2) ROWS(8, 2)
  }
#undef ROWS
}

static void multiply_share(const void *job, int64_t share) {
  const Linear *l = job;
  const int64_t tile = share * l->share, tiles = l->out / LANES;
  const int64_t end = tile + l->share < tiles ? tile + l->share : tiles;
  for (int64_t row = 0; row < l->rows; row += MOST_ROWS) {
    const int64_t rows = l->rows - row < MOST_ROWS ? l->rows - row : MOST_ROWS;
    multiply_rows(l, row, (int)rows, tile, end);
  }
}

// Each row by its own max|x| / 127; one with a NaN becomes all NaN, as in JAX.
FAST static void quantise_row(const float *x, int64_t in, int8_t *to, float *scale,
                              int32_t *surplus) {
  __m512 most = _mm512_set1_ps(1e-12f);
  __mmask16 lost = 0;
  for (int64_t i = 0; i < in; i += LANES) {
    const __m512 some = _mm512_loadu_ps(x + i);
    lost |= _mm512_cmp_ps_mask(some, some, _CMP_UNORD_Q);
    most = _mm512_max_ps(most, _mm512_abs_ps(some));
  }
  *scale = lost ? NAN : _mm512_reduce_max_ps(most) / 127.0f;
  const __m512 unit = _mm512_set1_ps(*scale);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < in; i += LANES) {
    const __m512i whole = _mm512_cvtps_epi32(_mm512_div_ps(_mm512_loadu_ps(x + i), unit));
    sum = _mm512_add_epi32(sum, whole);
    _mm_storeu_si128((__m128i *)(to + i), _mm512_cvtepi32_epi8(whole));
  }
  *surplus = 128 * _mm512_reduce_add_epi32(sum);
}

// (x [rows in] f32, matrix, scale [out] f32) -> y [rows out] f32; in and out are multiples of 16.
XLA_FFI_Error *heartwood_linear(XLA_FFI_CallFrame *call) {
  if (answered(call)) return NULL;
  const int64_t rows = size(call, 0, 0), in = size(call, 0, 1), out = size(call, 2, 0);
  int8_t *x = malloc(rows * (in + sizeof(float) + sizeof(int32_t)));
  if (!x) return fail(call, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "out of memory");
  float *x_scale = (float *)(x + rows * in);
  int32_t *surplus = (int32_t *)(x_scale + rows);
  const float *given = argument(call, 0);
  for (int64_t r = 0; r < rows; r++)
    quantise_row(given + r * in, in, x + r * in, x_scale + r, surplus + r);
  const int64_t fitting = SHARE_BYTES / (LANES * in) / MOST_TILES * MOST_TILES;
  const Linear job = {.rows = rows,
                      .in = in,
                      .out = out,
                      .share = fitting < MOST_TILES ? MOST_TILES : fitting,
                      .x = x,
                      .x_scale = x_scale,
                      .surplus = surplus,
                      .matrix = argument(call, 1),
                      .scale = argument(call, 2),
                      .y = result(call, 0)};
  const int64_t tiles = out / LANES;
  XLA_FFI_Error *error = run_shares(call, multiply_share, &job, (tiles + job.share - 1) / job.share);
  free(x);
  return error;
}
