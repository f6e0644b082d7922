// The root-mean-square norm of a few vectors.
#include <cmath>

#include "kernels.h"

// y = x / sqrt(mean(x²) + eps) * weight, for each of n_rows vectors. Source: arXiv:1910.07467.
extern "C" void luban_rms_norm(
    const float *x, const float *weight, float *y, int64_t n_rows, int64_t dim, float eps) {
    for (int64_t row = 0; row < n_rows; row++, x += dim, y += dim) {
        Vector squares = {};
        int64_t i = 0;
        for (; i + LANES <= dim; i += LANES) squares += load(x + i) * load(x + i);
        float total = sum(squares);
        for (; i < dim; i++) total += x[i] * x[i];
        const float scale = 1 / std::sqrt(total / dim + eps);
        for (i = 0; i < dim; i++) y[i] = x[i] * scale * weight[i];
    }
}
