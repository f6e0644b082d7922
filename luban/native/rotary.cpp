// Rotary positions in training: one pass over queries or keys. Source: arXiv:2104.09864.
#include "kernels.h"

constexpr int64_t LEAST = 1 << 15;  // numbers; with fewer, waking a thread costs more

// Feature i is paired with i + half. The sine has the sign that each half takes; turning back swaps its halves.
static void turn(const Turn &t, const float *cos, const float *sin, const float *from, float *to) {
    const int64_t half = t.turned / 2;
    const float *into_first = t.is_back ? sin + half : sin, *into_second = t.is_back ? sin : sin + half;
    int64_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        const Vector first = load(from + i), second = load(from + i + half);
        store(to + i, first * load(cos + i) + second * load(into_first + i));
        store(to + i + half, second * load(cos + i + half) + first * load(into_second + i));
    }
    for (; i < half; i++) {
        to[i] = from[i] * cos[i] + from[i + half] * into_first[i];
        to[i + half] = from[i + half] * cos[i + half] + from[i] * into_second[i];
    }
    for (i = t.turned; i < t.head_dim; i++) to[i] = from[i];
}

extern "C" void luban_turn(const Turn *turned, int n_threads) {
    const Turn &t = *turned;
    if (t.batch * t.n_tokens * t.n_heads * t.head_dim < LEAST) n_threads = 1;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int64_t i = 0; i < t.batch * t.n_tokens; i++) {
        const int64_t row = i / t.n_tokens, token = i % t.n_tokens;
        const float *cos = t.cos + row * t.turn_stride + token * t.turned;
        const float *sin = t.sin + row * t.turn_stride + token * t.turned;
        for (int64_t head = 0; head < t.n_heads; head++)
            turn(t, cos, sin, t.from + row * t.from_row + head * t.from_head + token * t.from_token,
                 t.to + row * t.to_row + head * t.to_head + token * t.to_token);
    }
}
