// Batch norm followed by ReLU, in bfloat16, as few passes over the images as it takes: two forward (one with known
// statistics), two backward. Images are pixels x channels in memory (channels_last); sums are kept in double precision.

#include "common.h"

#include <algorithm>
#include <vector>

namespace {

constexpr int LANES = 16;
constexpr int CHUNK = 64;  // pixels whose float32 sums are then added in double precision

inline __m512 load(const bf16* from) {
    return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16);
}

inline void store(bf16* to, __m512 value) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(value)); }

inline void add_to(double* sums, __m512 values) {
    alignas(64) float parts[LANES];
    _mm512_store_ps(parts, values);
    for (int lane = 0; lane < LANES; lane++) sums[lane] += parts[lane];
}

// Two sums of each channel, over all pixels: `visit(pixel pointer offset, channel, first, second)` adds a pixel's.
template <typename Visit>
void sum_twice(long pixels, int channels, double* first, double* second, const Visit& visit) {
    int threads = omp_get_max_threads();
    long chunks = (pixels + CHUNK - 1) / CHUNK;
    std::vector<double> sums((size_t)2 * channels * threads);
#pragma omp parallel num_threads(threads)
    {
        double* own = sums.data() + (size_t)2 * channels * omp_get_thread_num();
#pragma omp for schedule(static)
        for (long chunk = 0; chunk < chunks; chunk++) {
            long end = std::min(pixels, (chunk + 1) * CHUNK);
            for (int channel = 0; channel < channels; channel += LANES) {
                __m512 a = _mm512_setzero_ps(), b = _mm512_setzero_ps();
                for (long pixel = chunk * CHUNK; pixel < end; pixel++) visit(pixel * channels + channel, channel, a, b);
                add_to(own + channel, a);
                add_to(own + channels + channel, b);
            }
        }
    }
    for (int channel = 0; channel < channels; channel++) {
        first[channel] = second[channel] = 0;
        for (int thread = 0; thread < threads; thread++) {
            first[channel] += sums[(size_t)2 * channels * thread + channel];
            second[channel] += sums[(size_t)2 * channels * thread + channels + channel];
        }
    }
}

template <typename Visit>
void for_each(long pixels, int channels, const Visit& visit) {
#pragma omp parallel for schedule(static)
    for (long pixel = 0; pixel < pixels; pixel++)
        for (int channel = 0; channel < channels; channel += LANES) visit(pixel * channels + channel, channel);
}

}  // namespace

extern "C" {

// Mean and variance (biased) of each channel.
void domcli_statistics(const bf16* x, int pixels, int channels, float* mean, float* variance) {
    std::vector<float> pivot(channels);  // near the mean, so that little cancels in the variance
    for (int channel = 0; channel < channels; channel += LANES) _mm512_storeu_ps(&pivot[channel], load(x + channel));
    std::vector<double> sum(channels), squares(channels);
    sum_twice(pixels, channels, sum.data(), squares.data(), [&](long at, int channel, __m512& a, __m512& b) {
        __m512 value = _mm512_sub_ps(load(x + at), _mm512_loadu_ps(&pivot[channel]));
        a = _mm512_add_ps(a, value);
        b = _mm512_fmadd_ps(value, value, b);
    });
    for (int channel = 0; channel < channels; channel++) {
        double average = sum[channel] / pixels;
        mean[channel] = pivot[channel] + average;
        variance[channel] = std::max(0.0, squares[channel] / pixels - average * average);
    }
}

// y = max(0, x * scale + shift).
void domcli_scale_relu(const bf16* x, int pixels, int channels, const float* scale, const float* shift, bf16* y) {
    for_each(pixels, channels, [=](long at, int channel) {
        __m512 value = _mm512_fmadd_ps(load(x + at), _mm512_loadu_ps(scale + channel), _mm512_loadu_ps(shift + channel));
        store(y + at, _mm512_max_ps(value, _mm512_setzero_ps()));
    });
}

// Sums of the gradient behind the ReLU, and of it times (x - mean), for each channel.
void domcli_gradient_sums(const bf16* x, const bf16* gradient, int pixels, int channels, const float* scale,
                          const float* shift, const float* mean, double* sum, double* product) {
    sum_twice(pixels, channels, sum, product, [&](long at, int channel, __m512& a, __m512& b) {
        __m512 value = load(x + at);
        __m512 out = _mm512_fmadd_ps(value, _mm512_loadu_ps(scale + channel), _mm512_loadu_ps(shift + channel));
        __mmask16 passed = _mm512_cmp_ps_mask(out, _mm512_setzero_ps(), _CMP_GT_OQ);
        __m512 passing = _mm512_maskz_mov_ps(passed, load(gradient + at));
        a = _mm512_add_ps(a, passing);
        b = _mm512_fmadd_ps(passing, _mm512_sub_ps(value, _mm512_loadu_ps(mean + channel)), b);
    });
}

// The gradient towards x: scale * passing + x * slope + offset, each of a channel.
void domcli_scale_relu_gradient(const bf16* x, const bf16* gradient, int pixels, int channels, const float* scale,
                                const float* shift, const float* slope, const float* offset, bf16* x_gradient) {
    for_each(pixels, channels, [=](long at, int channel) {
        __m512 value = load(x + at), by = _mm512_loadu_ps(scale + channel);
        __m512 out = _mm512_fmadd_ps(value, by, _mm512_loadu_ps(shift + channel));
        __mmask16 passed = _mm512_cmp_ps_mask(out, _mm512_setzero_ps(), _CMP_GT_OQ);
        __m512 moved = _mm512_fmadd_ps(value, _mm512_loadu_ps(slope + channel), _mm512_loadu_ps(offset + channel));
        store(x_gradient + at, _mm512_fmadd_ps(_mm512_maskz_mov_ps(passed, load(gradient + at)), by, moved));
    });
}
}
