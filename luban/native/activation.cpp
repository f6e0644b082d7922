// Activations in training: one pass over memory forward, one backward. Every number is worked out alone,
// so the number of threads changes no bit.
#include "kernels.h"

constexpr int64_t LEAST = 1 << 15;  // numbers; with fewer, waking a thread costs more

// Apply `f`, which turns IN vectors into OUT vectors, to arrays of n floats.
template <int IN, int OUT, class F>
static void each(const float *const (&in)[IN], float *const (&out)[OUT], int64_t n, int n_threads, F f) {
    if (n < LEAST) n_threads = 1;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int64_t i = 0; i < n / LANES * LANES; i += LANES) {
        Vector from[IN], to[OUT];
        for (int k = 0; k < IN; k++) from[k] = load(in[k] + i);
        f(from, to);
        for (int k = 0; k < OUT; k++) store(out[k] + i, to[k]);
    }
    const int64_t done = n / LANES * LANES, bytes = (n - done) * 4;
    if (!bytes) return;
    Vector from[IN] = {}, to[OUT];
    for (int k = 0; k < IN; k++) memcpy(&from[k], in[k] + done, bytes);
    f(from, to);
    for (int k = 0; k < OUT; k++) memcpy(out[k] + done, &to[k], bytes);
}

struct Sigmoid {
    Vector it, rest;  // rest = 1 - it, as exact as `it`
};

static inline Sigmoid sigmoid(Vector z) {
    const Vector negative = z < 0 ? z : -z;
    const Vector e = negative < -87 ? Vector{} : exp_of_negative(negative);
    const Vector large = 1 / (1 + e), small = e * large;
    return {z < 0 ? small : large, z < 0 ? large : small};
}

// gelu(x) = x (1 + tanh(u)) / 2 = x sigmoid(2 u), where u = sqrt(2/pi) (x + 0.044715 x³). Source: arXiv:1606.08415.
constexpr float TWICE = 1.5957691216f;  // 2 sqrt(2/pi)
constexpr float CUBIC = 0.044715f;

static inline Sigmoid share(Vector x) { return sigmoid(TWICE * x * (1 + CUBIC * (x * x))); }

extern "C" void luban_gelu_tanh(const float *x, float *y, int64_t n, int n_threads) {
    each({x}, {y}, n, n_threads, [](const Vector *in, Vector *out) { out[0] = in[0] * share(in[0]).it; });
}

extern "C" void luban_gelu_tanh_back(const float *x, const float *grad, float *dx, int64_t n, int n_threads) {
    each({x, grad}, {dx}, n, n_threads, [](const Vector *in, Vector *out) {
        const Vector v = in[0];
        const Sigmoid s = share(v);
        const Vector slope = TWICE * (1 + 3 * CUBIC * (v * v));
        out[0] = in[1] * (s.it + v * s.it * s.rest * slope);
    });
}

// silu(gate) * up, where silu(g) = g sigmoid(g). Source: arXiv:2002.05202.
extern "C" void luban_silu_times(const float *gate, const float *up, float *y, int64_t n, int n_threads) {
    each({gate, up}, {y}, n, n_threads,
         [](const Vector *in, Vector *out) { out[0] = in[0] * sigmoid(in[0]).it * in[1]; });
}

extern "C" void luban_silu_times_back(const SiluTimes *of, int64_t n, int n_threads) {
    each({of->gate, of->up, of->grad}, {of->by_gate, of->by_up}, n, n_threads,
         [](const Vector *in, Vector *out) {
             const Sigmoid s = sigmoid(in[0]);
             out[0] = in[2] * in[1] * (s.it * (1 + in[0] * s.rest));
             out[1] = in[2] * (in[0] * s.it);
         });
}
