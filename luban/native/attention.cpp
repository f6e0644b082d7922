// Attention of one new token a row over what its row has read: turn, remember, compare, gather.
#include <cmath>
#include <vector>

#include "kernels.h"

static float dot(const float *a, const float *b, int64_t n) {
    Vector sums = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sums += load(a + i) * load(b + i);
    float total = sum(sums);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

// Feature i is paired with i + half of what turns. Source: arXiv:2104.09864.
static void turn(const Attention &a, int64_t row, const float *from, float *to) {
    const int64_t turned = a.cos ? a.turned : 0, half = turned / 2;
    const float *cos = a.cos + row * a.turn_stride, *sin = a.sin + row * a.turn_stride;
    for (int64_t i = 0; i < half; i++) to[i] = from[i] * cos[i] + from[i + half] * sin[i];
    for (int64_t i = half; i < turned; i++) to[i] = from[i] * cos[i] + from[i - half] * sin[i];
    for (int64_t i = turned; i < a.head_dim; i++) to[i] = from[i];
}

// One query over all keys and values; `scores` has room for as many and LANES more.
static void read(const Attention &a, const float *q, const float *keys, const float *values, const float *mask,
                 float *scores, float *__restrict out) {
    const int64_t n = a.n_past + 1;
    float most = -INFINITY;
    for (int64_t s = 0; s < n; s++) {
        scores[s] = dot(q, keys + s * a.head_dim, a.head_dim) * a.scale + (mask ? mask[s] : 0.0f);
        most = scores[s] > most ? scores[s] : most;
    }
    for (int lane = 0; lane < LANES; lane++) scores[n + lane] = -INFINITY;
    Vector totals = {};
    for (int64_t s = 0; s < n; s += LANES) {
        const Vector weights = exp_of_negative(load(scores + s) - most);
        memcpy(scores + s, &weights, sizeof weights);
        totals += weights;
    }
    const float share = 1 / sum(totals);
    for (int64_t i = 0; i < a.head_dim; i++) out[i] = 0;
    for (int64_t s = 0; s < n; s++) {
        const float weight = scores[s] * share;
        for (int64_t i = 0; i < a.head_dim; i++) out[i] += weight * values[s * a.head_dim + i];
    }
}

// q and out (batch, n_heads, head_dim); k and v (batch, n_kv_heads, head_dim), which are remembered.
extern "C" void luban_attend(
    const Attention *attention, const float *q, const float *k, const float *v, float *out, int n_threads) {
    const Attention &a = *attention;
    const int64_t d = a.head_dim, group = a.n_heads / a.n_kv_heads;
    if (a.batch * a.n_heads * d * (a.n_past + 1) < 1 << 15) n_threads = 1;  // waking a thread costs more
#pragma omp parallel num_threads(n_threads)
    {
        std::vector<float> scores(a.n_past + 1 + LANES), query(d);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < a.batch * a.n_kv_heads; i++) {
            const int64_t row = i / a.n_kv_heads;
            float *keys = a.keys + i * a.room * d, *values = a.values + i * a.room * d;
            turn(a, row, k + i * d, keys + a.n_past * d);
            for (int64_t j = 0; j < d; j++) values[a.n_past * d + j] = v[i * d + j];
            for (int64_t head = i * group; head < (i + 1) * group; head++) {
                const float *mask = a.mask;
                if (mask) mask += row * a.mask_row_stride + head % a.n_heads * a.mask_head_stride;
                turn(a, row, q + head * d, query.data());
                read(a, query.data(), keys, values, mask, scores.data(), out + head * d);
            }
        }
    }
}
