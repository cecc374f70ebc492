/* Planar tensors through the C ABI, with what a caller can get wrong. */
#include <quantlib.h>
#include <math.h>
#include <string.h>

#include "check.h"

enum { ROWS = 4, COLS = 64, LEN = ROWS * COLS };

static const size_t shape[] = {ROWS, COLS};
static float x[LEN], y[LEN];
static unsigned char codes[LEN * 2], scales[LEN], zeros[LEN];

static ql_affine_spec mlx(void) {
    ql_affine_spec spec = {0};
    spec.struct_size = sizeof spec;
    spec.axis = -1;
    return spec;
}

static void round_trips(void) {
    /* Errors below half a step of the range, or below a whole one where the tool moves the range. */
    static const struct {
        const char *layout;
        unsigned bits, grouping;
        int symmetric;
        float error;
    } cases[] = {
        {NULL, 8, 0, 0, 0.008f},          {"mlx", 3, 0, 0, 0.286f},   {"mxfp8", 0, 0, 0, 0.07f},
        {"matmulnbits", 4, 0, 1, 0.14f},  {"qdq", 16, 2, 0, 0.001f},  {"qdq", 8, 1, 1, 0.005f},
        {"openvino", 4, 1, 0, 0.08f},     {"nf4", 0, 0, 0, 0.16f},    {"fp4", 0, 0, 0, 0.17f},
        {"fp8-e4m3", 0, 2, 0, 0.07f},     {"fp8-e5m2", 0, 1, 0, 0.08f}, {"openvino-nf4", 0, 1, 0, 0.16f},
        {"openvino-mxfp8", 0, 0, 0, 0.07f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ql_affine_spec spec = mlx();
        size_t c, s, z;
        spec.layout = cases[i].layout;
        spec.bits = cases[i].bits;
        spec.grouping = cases[i].grouping;
        spec.symmetric = (unsigned char)cases[i].symmetric;
        spec.clip = cases[i].bits == 8 ? 3 : 0;
        CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_OK);
        CHECK(c <= sizeof codes && s <= sizeof scales && z <= sizeof zeros);
        CHECK(ql_quantize_affine(&spec, 0, x, shape, 2, codes, c, scales, s, zeros, z, NULL) == QL_OK);
        CHECK(ql_dequantize_affine(&spec, 0, codes, c, scales, s, zeros, z, shape, 2, y, LEN, NULL) == QL_OK);
        for (int k = 0; k < LEN; k++) CHECK(fabsf(x[k] - y[k]) < cases[i].error);
    }
}

static void sizes(void) {
    ql_affine_spec spec = mlx();
    size_t c, s, z;
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_OK);
    CHECK(c == LEN / 2 && s == ROWS * 2 * 4 && z == s);
    CHECK(ql_affine_sizes(&spec, 1, shape, 2, &c, &s, &z) == QL_OK && s == ROWS * 2 * 2);
    spec.scale_type = "f32";
    CHECK(ql_affine_sizes(&spec, 1, shape, 2, &c, &s, &z) == QL_OK && s == ROWS * 2 * 4);
    spec.layout = "mxfp4";
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_OK && s == ROWS * 2 && z == 0);
}

static void global_scale(void) {
    ql_affine_spec spec = {.layout = "nvfp4", .axis = -1, .global_scale = 1e-3f};
    float small[LEN];
    size_t c, s, z;
    for (int i = 0; i < LEN; i++) small[i] = x[i] * 1e-3f;
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_OK && z == 0);
    CHECK(ql_quantize_affine(&spec, 0, small, shape, 2, codes, c, scales, s, NULL, 0, NULL) == QL_OK);
    CHECK(ql_dequantize_affine(&spec, 0, codes, c, scales, s, NULL, 0, shape, 2, y, LEN, NULL) == QL_OK);
    for (int i = 0; i < LEN; i++) CHECK(fabsf(small[i] - y[i]) < 2e-4f);
    spec.global_scale = -1;
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_ERROR_MISUSE);
    spec.global_scale = 1;
    spec.layout = "mxfp4";
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_ERROR_MISUSE);
}

static ql_status attempt(const ql_affine_spec *spec) {
    size_t c, s, z;
    return ql_affine_sizes(spec, 0, shape, 2, &c, &s, &z);
}

static void misuse(void) {
    ql_affine_spec spec = mlx();
    size_t c, s, z;
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, &c, &s, &z) == QL_OK);
    CHECK(ql_quantize_affine(&spec, 0, x, shape, 2, codes, c - 1, scales, s, zeros, z, NULL) == QL_ERROR_MISUSE);
    CHECK(strstr(ql_last_error_message(), "codes"));
    CHECK(ql_quantize_affine(&spec, 0, x, shape, 2, codes, c, NULL, s, zeros, z, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize_affine(&spec, 0, NULL, shape, 2, codes, c, scales, s, zeros, z, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_dequantize_affine(&spec, 0, codes, c, scales, s, zeros, z, shape, 2, y, 1, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_affine_sizes(&spec, 0, NULL, 2, &c, &s, &z) == QL_ERROR_MISUSE);
    CHECK(ql_affine_sizes(&spec, 0, shape, 2, NULL, &s, &z) == QL_ERROR_MISUSE);
    CHECK(attempt(NULL) == QL_ERROR_MISUSE);
    spec.bits = 300;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.grouping = 3;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.clip = 4;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec.clip = 2;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.layout = "gguf";
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.scale_type = "f9";
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.reserved[2] = 1;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
    spec = mlx();
    spec.struct_size = 8;
    CHECK(attempt(&spec) == QL_ERROR_MISUSE);
}

/* Blocks to planes and back, and what does not fit. */
static void transcodes(void) {
    static unsigned char blocks[LEN], back[LEN];
    const ql_affine_spec spec = mlx();
    ql_dtype q4_0, q4_k;
    size_t c, s, z;
    CHECK(ql_dtype_from_name("q4_0", &q4_0) == QL_OK && ql_dtype_from_name("q4_k", &q4_k) == QL_OK);
    const size_t len = ROWS * ql_row_size(q4_0, COLS);
    CHECK(ql_quantize(q4_0, x, ROWS, COLS, NULL, blocks, len, NULL) == QL_OK);
    CHECK(ql_affine_sizes(&spec, 1, shape, 2, &c, &s, &z) == QL_OK);
    ql_encoded from = {0}, to = {0}, again = {0};
    from.struct_size = to.struct_size = again.struct_size = sizeof from;
    from.shape = to.shape = again.shape = shape;
    from.rank = to.rank = again.rank = 2;
    from.type = again.type = q4_0;
    from.data = blocks;
    from.data_len = again.data_len = len;
    to.spec = &spec;
    to.type = 1; /* scales of f16 */
    to.data = codes;
    to.data_len = c;
    to.scales = scales;
    to.scales_len = s;
    to.zeros = zeros;
    to.zeros_len = z;
    again.data = back;
    CHECK(ql_transcode(&from, &to, NULL) == QL_OK);
    CHECK(ql_dequantize(q4_0, blocks, len, x, LEN, NULL) == QL_OK);
    CHECK(ql_dequantize_affine(&spec, 1, codes, c, scales, s, zeros, z, shape, 2, y, LEN, NULL) == QL_OK);
    for (int k = 0; k < LEN; k++) CHECK(x[k] == y[k]); /* a zero may change its sign */
    CHECK(ql_transcode(&to, &again, NULL) == QL_OK && memcmp(blocks, back, len) == 0);

    again.type = q4_k;
    CHECK(ql_transcode(&to, &again, NULL) == QL_ERROR_UNSUPPORTED);
    CHECK(strstr(ql_last_error_message(), "q4_k"));
    again.type = q4_0;
    again.data_len = len - 1;
    CHECK(ql_transcode(&to, &again, NULL) == QL_ERROR_MISUSE);
    again.data_len = len;
    again.data = NULL;
    CHECK(ql_transcode(&to, &again, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_transcode(NULL, &to, NULL) == QL_ERROR_MISUSE && ql_transcode(&from, NULL, NULL) == QL_ERROR_MISUSE);
    from.reserved = 1;
    CHECK(ql_transcode(&from, &to, NULL) == QL_ERROR_MISUSE);
    from.reserved = 0;
    from.struct_size = 8;
    CHECK(ql_transcode(&from, &to, NULL) == QL_ERROR_MISUSE);
}

int main(void) {
    for (int i = 0; i < LEN; i++) x[i] = sinf((float)i);
    round_trips();
    sizes();
    global_scale();
    misuse();
    transcodes();
    puts("affine.c: passed");
    return 0;
}
