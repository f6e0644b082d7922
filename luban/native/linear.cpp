// Products of a few vectors with a whole matrix: what decoding one token a row consists of.
//
// Every weight is read once and used for all rows, so the speed is that of reading memory. Each sum is
// taken in the same order whatever the batch and the form: a row's result does not depend on its neighbours.
#include "kernels.h"

constexpr unsigned CACHE_LINE = 64;

// Multiply ROWS rows of the matrix with BATCH vectors, all sums in registers.
template <class Block, int ROWS, int BATCH>
static inline void tile(const Matrix &m, int64_t row, const float *x, float *y) {
    const int64_t n_blocks = m.n_in / BLOCK;
    const int64_t stride = n_blocks * sizeof(Block) + m.n_in % BLOCK * sizeof(float);
    const char *w[ROWS];
    for (int r = 0; r < ROWS; r++) w[r] = static_cast<const char *>(m.weights) + (row + r) * stride;
    Vector sums[ROWS][BATCH] = {};
    for (int64_t i = 0; i < n_blocks; i++) {
        for (int r = 0; r < ROWS; r++)  // the processor does not foresee so many places at once
            for (unsigned line = 0; line < sizeof(Block); line += CACHE_LINE)
                __builtin_prefetch(w[r] + i * sizeof(Block) + ROWS * stride + line);
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++) {
            Vector part[ROWS];
            for (int r = 0; r < ROWS; r++) part[r] = reinterpret_cast<const Block *>(w[r])[i].part(p);
            for (int b = 0; b < BATCH; b++) {
                const Vector xs = load(x + b * m.n_in + i * BLOCK + p * LANES);
                for (int r = 0; r < ROWS; r++) sums[r][b] += part[r] * xs;
            }
        }
    }
    for (int r = 0; r < ROWS; r++) {
        const float *rest = reinterpret_cast<const float *>(w[r] + n_blocks * sizeof(Block));
        for (int b = 0; b < BATCH; b++) {
            float total = sum(sums[r][b]) + (m.bias ? m.bias[row + r] : 0.0f);
            for (int64_t i = n_blocks * BLOCK; i < m.n_in; i++) total += rest[i - n_blocks * BLOCK] * x[b * m.n_in + i];
            y[b * m.n_out + row + r] = total;
        }
    }
}

// Rows that one tile takes, so that its sums and a few operands fit the registers.
constexpr int rows_for(int batch) {
    const int n = (REGISTERS - 4) / batch;
    return n > 4 ? 4 : n > 1 ? n : 1;
}

template <class Block, int BATCH>
static void rows(const Matrix &m, int64_t row, int64_t end, const float *x, float *y) {
    constexpr int ROWS = rows_for(BATCH);
    for (; row + ROWS <= end; row += ROWS) tile<Block, ROWS, BATCH>(m, row, x, y);
    for (; row < end; row++) tile<Block, 1, BATCH>(m, row, x, y);
}

template <class Block>
static void multiply(const Matrix &m, const float *x, float *y, int64_t batch, int n_threads) {
    constexpr int64_t CHUNK = 16;  // rows of the matrix: few enough to stay in the nearest cache for the next vectors
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t row = 0; row < m.n_out; row += CHUNK) {
        const int64_t end = row + CHUNK < m.n_out ? row + CHUNK : m.n_out;
        int64_t b = 0;
        for (; b + 8 <= batch; b += 8) rows<Block, 8>(m, row, end, x + b * m.n_in, y + b * m.n_out);
        for (; b + 4 <= batch; b += 4) rows<Block, 4>(m, row, end, x + b * m.n_in, y + b * m.n_out);
        for (; b + 2 <= batch; b += 2) rows<Block, 2>(m, row, end, x + b * m.n_in, y + b * m.n_out);
        for (; b < batch; b++) rows<Block, 1>(m, row, end, x + b * m.n_in, y + b * m.n_out);
    }
}

// y = x Wᵀ + bias: x (batch, n_in), y (batch, n_out), both contiguous.
extern "C" void luban_linear(const Matrix *m, const float *x, float *y, int64_t batch, int n_threads) {
    if (m->n_in * m->n_out * batch < 1 << 15) n_threads = 1;  // waking a thread costs more
    switch (m->form) {
        case FLOAT32: return multiply<Float32>(*m, x, y, batch, n_threads);
        case BFLOAT16: return multiply<BFloat16>(*m, x, y, batch, n_threads);
        case EIGHT_BITS: return multiply<EightBits>(*m, x, y, batch, n_threads);
        case FOUR_BITS: return multiply<FourBits>(*m, x, y, batch, n_threads);
    }
}
