// 3x3 and 1x1 convolutions in bfloat16 on the matrix unit (AMX) of an x86 CPU: forward, input gradient and weight
// gradient, summed in float32. Images are N x H x W x C in memory (channels_last).
//
// 32 images go side by side: the same pixel of 32 images makes whole tiles. A tap of the kernel then meets another pixel
// of the same images, which is another tile at an aligned address, and a tap beyond the border is no work at all.
// A task is a band of rows of 32 images; what it reads is first put in tiles, so that it stays in the second-level cache.

#include "common.h"

#include <algorithm>
#include <cstring>

namespace {

constexpr int SIDE = 16;   // rows of a tile, and its columns of float32
constexpr int BLOCK = 32;  // images, or channels, that are treated together: two tiles
constexpr int BAND_BYTES = 1 << 20;

struct Shape {
    int images, height, width;  // of the finer side: the input of the forward pass
    int inputs, outputs, kernel, stride;

    int rows() const { return height / stride; }  // of the coarser side
    int columns() const { return width / stride; }
    int taps() const { return kernel * kernel; }
    int groups() const { return (images + BLOCK - 1) / BLOCK; }
    int fine(int coarse, int tap) const { return coarse * stride + tap - kernel / 2; }
    // The coarser row or column that a tap leads to from a finer one; -1 if there is none.
    int coarse(int fine, int tap, int limit) const {
        int at = fine - tap + kernel / 2;
        return at < 0 || at % stride || at / stride >= limit ? -1 : at / stride;
    }
};

// Rows of a band: few enough for the cache and for every thread to have work.
int band_rows(int rows, int bytes_per_row, int groups) {
    int fitting = std::max(1, BAND_BYTES / bytes_per_row);
    int shared = std::max(1, rows * groups / (2 * omp_get_max_threads()));
    int bands = (rows + std::min(fitting, shared) - 1) / std::min(fitting, shared);
    return (rows + bands - 1) / bands;
}

// Some rows of 32 images in memory.
struct Rows {
    const bf16* data;  // of the first image, its first row
    int images, width, channels;
    size_t image;  // values from image to image

    const bf16* at(int row, int column) const { return data + ((size_t)row * width + column) * channels; }
    __m512i read(const bf16* pixel, int number) const {
        return number < images ? _mm512_loadu_si512(pixel + number * image) : _mm512_setzero_si512();
    }
};

// To left operands whose rows are images: row x column x block of 32 channels x 32 images x 32.
void pack_images(const Rows& from, int first, int last, bf16* to) {
    for (int row = first; row < last; row++)
        for (int column = 0; column < from.width; column++)
            for (int channel = 0; channel < from.channels; channel += BLOCK)
                for (int image = 0; image < BLOCK; image++, to += BLOCK)
                    _mm512_store_si512(to, from.read(from.at(row, column) + channel, image));
}

// Two images each side by side: 16 channels of image 2 i and 2 i + 1 in low[i], the next 16 in high[i].
inline void pair_images(const Rows& from, const bf16* pixel, __m512i low[SIDE], __m512i high[SIDE]) {
    for (int i = 0; i < SIDE; i++) interleave(from.read(pixel, 2 * i), from.read(pixel, 2 * i + 1), low[i], high[i]);
}

// To right operands of a sum over images: block of 16 channels x row x column x 16 pairs x 16 x 2. With `transposed` to
// left operands of one: block of 16 channels x row x column x 16 channels x 32 images.
void pack_pairs(const Rows& from, int first, int last, bool transposed, bf16* to) {
    size_t next = (size_t)(last - first) * from.width * SIDE * BLOCK;
    for (int channel = 0; channel < from.channels; channel += BLOCK) {
        bf16* block = to + channel / SIDE * next;
        for (int row = first; row < last; row++)
            for (int column = 0; column < from.width; column++, block += SIDE * BLOCK) {
                __m512i low[SIDE], high[SIDE];
                pair_images(from, from.at(row, column) + channel, low, high);
                if (transposed) {
                    transpose(low);
                    transpose(high);
                }
                for (int i = 0; i < SIDE; i++) {
                    _mm512_store_si512(block + i * BLOCK, low[i]);
                    _mm512_store_si512(block + next + i * BLOCK, high[i]);
                }
            }
    }
}

// Add the products of 32 rows and 32 columns: left tiles `left` and `left + below`, right ones `right`, `right + beside`.
inline void multiply(const bf16* left, size_t below, const bf16* right, size_t beside) {
    _tile_loadd(4, left, 64);
    _tile_loadd(6, right, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + beside, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + below, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

// Sum over the channels of a pixel.
inline void multiply_pixel(const bf16* pixel, const bf16* weight, size_t beside, int channels) {
    for (int channel = 0; channel < channels; channel += BLOCK, pixel += BLOCK * BLOCK, weight += SIDE * BLOCK)
        multiply(pixel, SIDE * BLOCK, weight, beside);
}

// One pass of a convolution, from the finer side to the coarser or back. `to` has the pixels of image 0 first.
struct Pass {
    const Shape& shape;
    const bf16 *from, *weight;
    bf16* to;
    bool backward;
    int summed = backward ? shape.outputs : shape.inputs, kept = backward ? shape.inputs : shape.outputs;
    int from_rows = backward ? shape.rows() : shape.height, from_columns = backward ? shape.columns() : shape.width;
    int to_rows = backward ? shape.height : shape.rows(), to_columns = backward ? shape.width : shape.columns();
    int reach = backward ? (shape.kernel / 2 + shape.stride - 1) / shape.stride : shape.kernel / 2;

    // The row or column that a tap reads for one that is written, or -1.
    int source(int target, int tap, int limit) const {
        if (backward) return shape.coarse(target, tap, limit);
        int at = shape.fine(target, tap);
        return at < limit ? at : -1;
    }
    int first_row(int row) const { return std::max(0, (backward ? row / shape.stride : row * shape.stride) - reach); }
    int last_row(int row) const {
        return std::min(from_rows, (backward ? row / shape.stride : row * shape.stride) + reach + 1);
    }

    void band(int group, int begin, int end, bf16* packed) const {
        int first = first_row(begin), last = last_row(end - 1), images = std::min(BLOCK, shape.images - group * BLOCK);
        size_t image = (size_t)from_rows * from_columns * summed;
        pack_images({from + group * BLOCK * image, images, from_columns, summed, image}, first, last, packed);
        bf16* out = to + (size_t)group * BLOCK * to_rows * to_columns * kept;
        for (int channel = 0; channel < kept; channel += BLOCK)
            for (int row = begin; row < end; row++)
                for (int column = 0; column < to_columns; column++) {
                    zero_tiles();
                    pixel(packed, first, row, column, channel);
                    write(out + ((size_t)row * to_columns + column) * kept + channel, images);
                }
    }
    void pixel(const bf16* packed, int first, int row, int column, int channel) const {
        const bf16* tap_weight = weight + (size_t)channel * shape.taps() * summed;
        size_t beside = (size_t)SIDE * shape.taps() * summed;
        for (int y = 0; y < shape.kernel; y++)
            for (int x = 0; x < shape.kernel; x++, tap_weight += (size_t)SIDE * summed) {
                int from_row = source(row, y, from_rows), from_column = source(column, x, from_columns);
                if (from_row < 0 || from_column < 0) continue;
                size_t at = (size_t)(from_row - first) * from_columns + from_column;
                multiply_pixel(packed + at * BLOCK * summed, tap_weight, beside, summed);
            }
    }
    void write(bf16* out, int images) const {
        alignas(64) float sums[BLOCK * BLOCK];
        store_tiles(sums, BLOCK);
        size_t image = (size_t)to_rows * to_columns * kept;
        for (int number = 0; number < images; number++)
            _mm512_stream_si512((__m512i*)(out + number * image), to_bf16(sums + number * BLOCK));
    }
};

void convolve(const Pass& pass) {
    int row_bytes = pass.from_columns * BLOCK * pass.summed * (int)sizeof(bf16);
    int groups = pass.shape.groups(), rows = band_rows(pass.to_rows, row_bytes, groups);
    int bands = (pass.to_rows + rows - 1) / rows;
    size_t room = (size_t)std::min(pass.from_rows, rows * pass.shape.stride + 2 * pass.reach) * row_bytes;
#pragma omp parallel
    {
        Tiles tiles;
        Scratch<bf16> packed(room / sizeof(bf16));
#pragma omp for schedule(dynamic)
        for (int task = 0; task < groups * bands; task++) {
            int begin = task % bands * rows;
            pass.band(task / bands, begin, std::min(begin + rows, pass.to_rows), packed.data);
        }
        _mm_sfence();
    }
}

// The weight gradient of a band, tap x C' x C in float32, added to `sum`. `left` has the gradient, `right` the images.
void add_weight_gradient(const Shape& s, const bf16* left, const bf16* right, int begin, int end, int first, int last,
                         float* sum) {
    size_t below = (size_t)(end - begin) * s.columns() * SIDE * BLOCK;
    size_t beside = (size_t)(last - first) * s.width * SIDE * BLOCK;
    for (int input = 0; input < s.inputs; input += BLOCK)
        for (int output = 0; output < s.outputs; output += BLOCK)
            for (int tap = 0; tap < s.taps(); tap++) {
                float* to = sum + ((size_t)tap * s.outputs + output) * s.inputs + input;
                load_tiles(to, s.inputs);
                for (int row = begin; row < end; row++) {
                    int from_row = s.fine(row, tap / s.kernel);
                    if (from_row < 0 || from_row >= s.height) continue;
                    const bf16* a = left + output / SIDE * below + (size_t)(row - begin) * s.columns() * SIDE * BLOCK;
                    const bf16* b = right + input / SIDE * beside + (size_t)(from_row - first) * s.width * SIDE * BLOCK;
                    for (int column = 0; column < s.columns(); column++) {
                        int from_column = s.fine(column, tap % s.kernel);
                        if (from_column >= 0 && from_column < s.width)
                            multiply(a + column * SIDE * BLOCK, below, b + from_column * SIDE * BLOCK, beside);
                    }
                }
                store_tiles(to, s.inputs);
            }
}

// From sums of every thread, tap x C' x C, to C' x tap x C.
void reduce(const Shape& s, const float* sums, int threads, float* to) {
    size_t size = (size_t)s.taps() * s.outputs * s.inputs;
#pragma omp parallel for collapse(2)
    for (int output = 0; output < s.outputs; output++)
        for (int tap = 0; tap < s.taps(); tap++) {
            float* row = to + ((size_t)output * s.taps() + tap) * s.inputs;
            const float* from = sums + ((size_t)tap * s.outputs + output) * s.inputs;
            for (int input = 0; input < s.inputs; input++) {
                float total = from[input];
                for (int thread = 1; thread < threads; thread++) total += from[size * thread + input];
                row[input] = total;
            }
        }
}

}  // namespace

// A tile of a packed weight, 16 pairs x 16 x 2, from 16 columns of 32 values, `apart` from each other.
static void pack_columns(const float* from, size_t apart, bf16* tile) {
    __m512i pairs[SIDE];
    for (int column = 0; column < SIDE; column++) pairs[column] = to_bf16(from + column * apart);
    transpose(pairs);
    for (int pair = 0; pair < SIDE; pair++) _mm512_storeu_si512(tile + pair * BLOCK, pairs[pair]);
}

// The same from 32 rows of 16 values.
static void pack_rows(const float* from, size_t apart, bf16* tile) {
    for (int pair = 0; pair < SIDE; pair++) {
        const float* rows = from + 2 * pair * apart;
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(rows + apart), _mm512_loadu_ps(rows)), low, high;
        interleave(both, _mm512_castsi256_si512(_mm512_extracti64x4_epi64(both, 1)), low, high);
        _mm512_storeu_si512(tile + pair * BLOCK, low);
    }
}

extern "C" {

// Put a weight, float32, C' x k x k x C in memory, in the order of right operands: block of 16 channels kept x tap x
// block of 32 summed x 16 pairs x 16 x 2. A forward pass sums over C and keeps C', the input gradient the reverse.
void domcli_pack_weight(const float* weight, bf16* packed, int outputs, int inputs, int kernel, int backward) {
    int taps = kernel * kernel, summed = backward ? outputs : inputs, kept = backward ? inputs : outputs;
    size_t per_output = (size_t)taps * inputs, down = backward ? per_output : 1, across = backward ? 1 : per_output;
#pragma omp parallel for collapse(2)
    for (int block = 0; block < kept / SIDE; block++)
        for (int tap = 0; tap < taps; tap++)
            for (int depth = 0; depth < summed; depth += BLOCK) {
                bf16* tile = packed + (((size_t)block * taps + tap) * summed + depth) * SIDE;
                const float* from = weight + (size_t)tap * inputs + depth * down + block * SIDE * across;
                (backward ? pack_rows : pack_columns)(from, backward ? down : across, tile);
            }
}

// x: N x H x W x C, out: N x H/stride x W/stride x C'; weight as packed for the forward pass.
void domcli_convolve(const bf16* x, const bf16* weight, bf16* out, int images, int height, int width, int inputs,
                     int outputs, int kernel, int stride) {
    Shape shape{images, height, width, inputs, outputs, kernel, stride};
    convolve(Pass{shape, x, weight, out, false});
}

// The gradient towards x from that towards out; height, width, inputs and outputs are those of the forward pass.
void domcli_input_gradient(const bf16* gradient, const bf16* weight, bf16* x_gradient, int images, int height, int width,
                           int inputs, int outputs, int kernel, int stride) {
    Shape shape{images, height, width, inputs, outputs, kernel, stride};
    convolve(Pass{shape, gradient, weight, x_gradient, true});
}

// The gradient towards the weight, float32, C' x k x k x C in memory.
void domcli_weight_gradient(const bf16* x, const bf16* gradient, float* weight_gradient, int images, int height,
                            int width, int inputs, int outputs, int kernel, int stride) {
    Shape s{images, height, width, inputs, outputs, kernel, stride};
    int left_row = s.columns() * outputs * BLOCK, right_row = stride * width * inputs * BLOCK;
    int rows = band_rows(s.rows(), (left_row + right_row) * (int)sizeof(bf16), s.groups());
    int bands = (s.rows() + rows - 1) / rows, tasks = bands * s.groups(), threads = std::min(omp_get_max_threads(), tasks);
    size_t size = (size_t)s.taps() * inputs * outputs;
    Scratch<float> sums(size * threads);
#pragma omp parallel num_threads(threads)
    {
        Tiles tiles;
        int most = std::min(height, rows * stride + kernel - 1);
        Scratch<bf16> left((size_t)rows * left_row), right((size_t)most * width * inputs * BLOCK);
        float* sum = sums.data + size * omp_get_thread_num();
        std::memset(sum, 0, size * sizeof(float));
#pragma omp for schedule(static)
        for (int task = 0; task < tasks; task++) {
            int group = task / bands, begin = task % bands * rows, end = std::min(begin + rows, s.rows());
            int first = std::max(0, s.fine(begin, 0)), last = std::min(height, s.fine(end - 1, kernel - 1) + 1);
            int count = std::min(BLOCK, images - group * BLOCK);
            size_t x_image = (size_t)height * width * inputs, out_image = (size_t)s.rows() * s.columns() * outputs;
            pack_pairs({gradient + group * BLOCK * out_image, count, s.columns(), outputs, out_image}, begin, end, true, left.data);
            pack_pairs({x + group * BLOCK * x_image, count, width, inputs, x_image}, first, last, false, right.data);
            add_weight_gradient(s, left.data, right.data, begin, end, first, last, sum);
        }
    }
    reduce(s, sums.data, threads, weight_gradient);
}
}
