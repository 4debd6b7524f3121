// Grouped-query attention over a KV cache of bf16: `attend` of serving/attention.py for CPUs.
//
// Keys and values of the new tokens are written into their slots first; then each query reads the
// positions that it sees, where they lie, and sums in f32. A row's answer does not depend on the
// rows beside it.

enum { MOST_QUERIES = 6, MOST_VECTORS = 16, MOST_SUMS = 4 };

typedef struct {
  int64_t rows, heads, queries, tokens, width, length;
  int64_t blocks;         // of at most MOST_QUERIES queries
  float scale, cap;       // cap 0: none
  const float *query;     // rows heads queries width
  const int32_t *slot, *start;  // rows
  const int32_t *oldest;  // rows queries
  const uint16_t *keys, *values;  // slots heads length width
  float *out;             // as query
  atomic_bool *starved;   // no memory for the scores
} Attention;

FAST INLINE __m512 widen(const uint16_t *bf16) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)bf16));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// e^x for x <= 0, to 2e-7 of its value: 2^n times a polynomial of what is left of x*log2(e).
FAST INLINE __m512 exponential(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-110.0f), x);  // which is 0 already; a NaN stays one
  const __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // In two parts, so that nothing is lost: ln 2 = 0.693359375 - 0.000212194440.
  __m512 rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693359375f), x);
  rest = _mm512_fmadd_ps(whole, _mm512_set1_ps(2.12194440e-4f), rest);
  __m512 sum = _mm512_set1_ps(1.0f / 5040);
  const float factors[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  for (int i = 0; i < 7; i++) sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(factors[i]));
  return _mm512_scalef_ps(sum, whole);
}

// cap * tanh(x / cap)
FAST INLINE __m512 squeeze(__m512 x, float cap) {
  const __m512 ratio = _mm512_div_ps(x, _mm512_set1_ps(cap)), one = _mm512_set1_ps(1.0f);
  const __m512 decay = exponential(_mm512_mul_ps(_mm512_abs_ps(ratio), _mm512_set1_ps(-2.0f)));
  const __m512 tanh = _mm512_div_ps(_mm512_sub_ps(one, decay), _mm512_add_ps(one, decay));
  const __mmask16 negative = _mm512_cmp_ps_mask(ratio, _mm512_setzero_ps(), _CMP_LT_OQ);
  const __m512 sign = _mm512_mask_blend_ps(negative, one, _mm512_set1_ps(-1.0f));
  return _mm512_mul_ps(_mm512_mul_ps(tanh, sign), _mm512_set1_ps(cap));
}

// The sum of each of 16 vectors, in their order; `at` is used up.
FAST INLINE __m512 sum_each(__m512 at[LANES]) {
  for (int i = 0; i < 8; i++)
    at[i] = _mm512_add_ps(_mm512_unpacklo_ps(at[2 * i], at[2 * i + 1]),
                          _mm512_unpackhi_ps(at[2 * i], at[2 * i + 1]));
  for (int i = 0; i < 4; i++) {
    const __m512d a = _mm512_castps_pd(at[2 * i]), b = _mm512_castps_pd(at[2 * i + 1]);
    at[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                          _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  for (int left = 2; left > 0; left--)
    for (int i = 0; i < left; i++)
      at[i] = _mm512_add_ps(_mm512_shuffle_f32x4(at[2 * i], at[2 * i + 1], 0x88),
                            _mm512_shuffle_f32x4(at[2 * i], at[2 * i + 1], 0xdd));
  return at[0];
}

// Scores of some queries with `count` positions from `keys` on, 16 of them at once.
FAST INLINE void score(const Attention *a, const float *query, const uint16_t *keys, int64_t count,
                       const int queries, const int vectors, float *scores, int64_t stride) {
  float key[LANES * LANES * MOST_VECTORS] __attribute__((aligned(64)));
  for (int64_t l = 0; l < count; l += LANES) {
    const int64_t there = (count - l < LANES ? count - l : LANES) * vectors;
    for (int64_t i = 0; i < LANES * vectors; i++)
      _mm512_store_ps(key + LANES * i, i < there ? widen(keys + l * a->width + LANES * i)
                                                 : _mm512_setzero_ps());
    for (int q = 0; q < queries; q++) {
      __m512 sum[LANES];
      for (int p = 0; p < LANES; p++) {
        sum[p] = _mm512_setzero_ps();
        for (int v = 0; v < vectors; v++)
          sum[p] = _mm512_fmadd_ps(_mm512_loadu_ps(query + q * a->width + LANES * v),
                                   _mm512_load_ps(key + LANES * (p * vectors + v)), sum[p]);
      }
      _mm512_storeu_ps(scores + q * stride + l,
                       _mm512_mul_ps(sum_each(sum), _mm512_set1_ps(a->scale)));
    }
  }
}

// Scores become weights, e^(score - highest), 0 outside of what is seen; their sum.
FAST static float weigh(const Attention *a, float *scores, int64_t count, int64_t seen_from,
                        int64_t seen_to) {
  const __m512i from = _mm512_set1_epi32((int)seen_from), to = _mm512_set1_epi32((int)seen_to);
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512 never = _mm512_set1_ps(-1e30f);
  __m512 most = never, sum = _mm512_setzero_ps();
  for (int64_t l = 0; l < count; l += LANES) {
    const __m512i position = _mm512_add_epi32(_mm512_set1_epi32((int)l), lane);
    const __mmask16 seen = _mm512_cmpge_epi32_mask(position, from) &
                           _mm512_cmplt_epi32_mask(position, to);
    __m512 found = _mm512_loadu_ps(scores + l);
    if (a->cap != 0) found = squeeze(found, a->cap);
    found = _mm512_mask_blend_ps(seen, never, found);
    most = _mm512_max_ps(most, found);
    _mm512_storeu_ps(scores + l, found);
  }
  most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
  for (int64_t l = 0; l < count; l += LANES) {
    const __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + l), most));
    sum = _mm512_add_ps(sum, weight);
    _mm512_storeu_ps(scores + l, weight);
  }
  return _mm512_reduce_add_ps(sum);
}

// Weighted sums of the values; `out` gets them divided by `total`.
FAST INLINE void gather(const Attention *a, const float *weights, const float *total,
                        const uint16_t *values, int64_t count, const int queries, const int vectors,
                        float *out, int64_t stride) {
  for (int v = 0; v < vectors; v += MOST_SUMS) {
    const int some = vectors - v < MOST_SUMS ? vectors - v : MOST_SUMS;
    __m512 sum[MOST_QUERIES][MOST_SUMS];
    for (int q = 0; q < queries; q++)
      for (int s = 0; s < some; s++) sum[q][s] = _mm512_setzero_ps();
    for (int64_t l = 0; l < count; l++) {
      __m512 value[MOST_SUMS];
      for (int s = 0; s < some; s++) value[s] = widen(values + l * a->width + LANES * (v + s));
      for (int q = 0; q < queries; q++) {
        const __m512 weight = _mm512_set1_ps(weights[q * stride + l]);
        for (int s = 0; s < some; s++) sum[q][s] = _mm512_fmadd_ps(weight, value[s], sum[q][s]);
      }
    }
    for (int q = 0; q < queries; q++)
      for (int s = 0; s < some; s++)
        _mm512_storeu_ps(out + q * a->width + LANES * (v + s),
                         _mm512_div_ps(sum[q][s], _mm512_set1_ps(total[q])));
  }
}

FAST INLINE void attend_block(const Attention *a, int64_t row, int64_t head, int64_t block,
                              const int queries, const int vectors, float *scores) {
  const int64_t number = (row * a->heads + head) * a->queries + block;
  const int64_t place = (a->slot[row] * a->heads + head) * a->length;
  const int32_t *oldest = a->oldest + row * a->queries + block;
  int64_t from[MOST_QUERIES], to[MOST_QUERIES], first = a->length, end = 0;
  for (int q = 0; q < queries; q++) {
    from[q] = oldest[q];
    to[q] = a->start[row] + (block + q) % a->tokens + 1;
    first = from[q] < first ? from[q] : first;
    end = to[q] > end ? to[q] : end;
  }
  const int64_t count = end - first, stride = (count + LANES - 1) / LANES * LANES;
  score(a, a->query + number * a->width, a->keys + (place + first) * a->width, count, queries,
        vectors, scores, stride);
  float total[MOST_QUERIES];
  for (int q = 0; q < queries; q++)
    total[q] = weigh(a, scores + q * stride, count, from[q] - first, to[q] - first);
  gather(a, scores, total, a->values + (place + first) * a->width, count, queries, vectors,
         a->out + number * a->width, stride);
}

FAST static void attend_share(const void *job, int64_t share) {
  const Attention *a = job;
  const int64_t block = share % a->blocks * MOST_QUERIES, pair = share / a->blocks;
  const int64_t row = pair / a->heads, head = pair % a->heads;
  const int queries = (int)(a->queries - block < MOST_QUERIES ? a->queries - block : MOST_QUERIES);
  const int64_t seen = a->start[row] + a->tokens;
  float *scores = malloc(sizeof(float) * MOST_QUERIES * (seen + LANES));
  if (!scores) {
    atomic_store(a->starved, true);
    return;
  }
#define QUERIES(Q)                                                                          \
  case Q:                                                                                   \
    if (a->width == 64) attend_block(a, row, head, block, Q, 4, scores);                     \
    else if (a->width == 128) attend_block(a, row, head, block, Q, 8, scores);               \
    else attend_block(a, row, head, block, Q, (int)(a->width / LANES), scores);              \
    break;
  switch (queries) { QUERIES(1) QUERIES(2) QUERIES(3) QUERIES(4) QUERIES(5) QUERIES(6) }
#undef QUERIES
  free(scores);
}

// New keys or values [rows heads tokens width], rounded to bf16: half to even.
FAST static void write_new(const Attention *a, const float *given, uint16_t *cache) {
  for (int64_t row = 0; row < a->rows; row++)
    for (int64_t head = 0; head < a->heads; head++) {
      const float *from = given + (row * a->heads + head) * a->tokens * a->width;
      uint16_t *to = cache + ((a->slot[row] * a->heads + head) * a->length + a->start[row]) * a->width;
      for (int64_t i = 0; i < a->tokens * a->width; i += LANES) {
        const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(from + i));
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
        _mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtepi32_epi16(rounded));
      }
    }
}

static float number(const XLA_FFI_CallFrame *call, int attribute) {
  return *(float *)((XLA_FFI_Scalar *)call->attrs.attrs[attribute])->value;
}

// (query [rows heads queries width] f32, new keys and new values [rows heads tokens width] f32,
// keys and values [slots heads length width] of bf16 bits, slots [rows], start [rows], oldest
// [rows queries] int32; cap and scale f32) -> (as query; keys and values, which are written in
// place). A head's queries are groups of `tokens`; width is a multiple of 16, at most 256.
XLA_FFI_Error *heartwood_attention(XLA_FFI_CallFrame *call) {
  if (answered(call)) return NULL;
  atomic_bool starved = false;
  const Attention job = {.rows = size(call, 0, 0),
                         .heads = size(call, 0, 1),
                         .queries = size(call, 0, 2),
                         .tokens = size(call, 1, 2),
                         .width = size(call, 0, 3),
                         .length = size(call, 3, 2),
                         .blocks = (size(call, 0, 2) + MOST_QUERIES - 1) / MOST_QUERIES,
                         .cap = number(call, 0),
                         .scale = number(call, 1),
                         .query = argument(call, 0),
                         .slot = argument(call, 5),
                         .start = argument(call, 6),
                         .oldest = argument(call, 7),
                         .keys = result(call, 1),
                         .values = result(call, 2),
                         .out = result(call, 0),
                         .starved = &starved};
  if (argument(call, 3) != job.keys || argument(call, 4) != job.values)
    return fail(call, XLA_FFI_Error_Code_INTERNAL, "the cache was not given in place");
  write_new(&job, argument(call, 1), result(call, 1));
  write_new(&job, argument(call, 2), result(call, 2));
  XLA_FFI_Error *error =
      run_shares(call, attend_share, &job, job.rows * job.heads * job.blocks);
  if (!error && starved) return fail(call, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "out of memory");
  return error;
}
