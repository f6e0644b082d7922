// What Python calls: the structs that it fills in, and the functions.
#pragma once
#include "weights.h"

struct Matrix {
    const void *weights;
    const float *bias;  // or null
    int64_t n_in, n_out;
    Form form;
};

struct Attention {
    float *keys, *values;    // (batch, n_kv_heads, room, head_dim); the first n_past are filled
    const float *cos, *sin;  // (batch or 1, turned), the sine with its sign; null: no rotary positions
    const float *mask;       // (batch or 1, n_heads or 1, n_past + 1), added to the scores; or null
    int64_t batch, n_heads, n_kv_heads, head_dim, room, n_past, turned;
    int64_t turn_stride, mask_row_stride, mask_head_stride;  // 0 where all rows or heads share
    float scale;
};

// A block of a decoder: x + attention(norm(x)), then x + down(silu(gate(norm(x))) * up(norm(x))).
struct Block {
    const float *attention_norm, *mlp_norm;  // (dim,)
    const Matrix *q, *k, *v, *out, *gate, *up, *down;
    float eps;
};

// Gradients of silu(gate) * up, from that of the product; arrays of as many floats.
struct SiluTimes {
    const float *gate, *up, *grad;
    float *by_gate, *by_up;
};

// Queries or keys (batch, n_heads, n_tokens, head_dim) that turn, of any strides but in the last dimension.
struct Turn {
    const float *from, *cos, *sin;  // cos and sin (batch or 1, n_tokens, turned), the sine with its sign
    float *to;
    int64_t batch, n_heads, n_tokens, head_dim, turned;
    int64_t from_row, from_head, from_token, to_row, to_head, to_token;  // strides
    int64_t turn_stride;                                                 // 0 where all rows share
    int32_t is_back;                                                     // turn the other way
};

extern "C" {
void luban_linear(const Matrix *m, const float *x, float *y, int64_t batch, int n_threads);
void luban_rms_norm(const float *x, const float *weight, float *y, int64_t n_rows, int64_t dim, float eps);
void luban_gelu_tanh(const float *x, float *y, int64_t n, int n_threads);
void luban_gelu_tanh_back(const float *x, const float *grad, float *dx, int64_t n, int n_threads);
void luban_silu_times(const float *gate, const float *up, float *y, int64_t n, int n_threads);
void luban_silu_times_back(const SiluTimes *of, int64_t n, int n_threads);
void luban_turn(const Turn *turned, int n_threads);
void luban_attend(const Attention *a, const float *q, const float *k, const float *v, float *out, int n_threads);
void luban_block(const Block *block, const Attention *a, const float *x, float *y, int n_threads);
}
