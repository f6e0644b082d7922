// One block of a decoder for one new token a row, in one call: between its parts nothing waits for Python.
#include <vector>

#include "kernels.h"

typedef std::vector<float> Floats1D;

static void add(const float *from, float *to, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

// gate = silu(gate) * up, where silu(x) = x / (1 + e^-x); both end in LANES unused numbers.
static void gate_with_silu(float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        const Vector x = load(gate + i), small = exp_of_negative(x < 0 ? x : -x);
        const Vector gated = (x < 0 ? x * small : x) / (1 + small) * load(up + i);
        memcpy(gate + i, &gated, sizeof gated);
    }
}

// x and y (batch, dim); the caller's Attention says where the row's past is.
extern "C" void luban_block(const Block *block, const Attention *a, const float *x, float *y, int n_threads) {
    const Block &m = *block;
    const int64_t batch = a->batch, dim = m.q->n_in, n_hidden = batch * m.up->n_out;
    Floats1D normed(batch * dim), change(batch * dim), read(batch * m.q->n_out);
    Floats1D q(batch * m.q->n_out), k(batch * m.k->n_out), v(batch * m.v->n_out);
    Floats1D gate(n_hidden + LANES), up(n_hidden + LANES);

    luban_rms_norm(x, m.attention_norm, normed.data(), batch, dim, m.eps);
    luban_linear(m.q, normed.data(), q.data(), batch, n_threads);
    luban_linear(m.k, normed.data(), k.data(), batch, n_threads);
    luban_linear(m.v, normed.data(), v.data(), batch, n_threads);
    luban_attend(a, q.data(), k.data(), v.data(), read.data(), n_threads);
    luban_linear(m.out, read.data(), y, batch, n_threads);
    add(x, y, batch * dim);

    luban_rms_norm(y, m.mlp_norm, normed.data(), batch, dim, m.eps);
    luban_linear(m.gate, normed.data(), gate.data(), batch, n_threads);
    luban_linear(m.up, normed.data(), up.data(), batch, n_threads);
    gate_with_silu(gate.data(), up.data(), n_hidden);
    luban_linear(m.down, gate.data(), change.data(), batch, n_threads);
    add(change.data(), y, batch * dim);
}
