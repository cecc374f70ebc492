/* Encoding and decoding through the C ABI, with everything that a caller can get wrong. */
#include <quantlib.h>
#include <math.h>
#include <string.h>

#include "check.h"

enum { ROWS = 3, COLS = 64, LEN = ROWS * COLS };

static float x[LEN], y[LEN];
static unsigned char blocks[LEN * 4];

static void types(void) {
    ql_dtype type = 999;
    CHECK(ql_dtype_from_name("Q8_0", &type) == QL_OK && type == 8);
    CHECK(strcmp(ql_dtype_name(type), "q8_0") == 0);
    CHECK(ql_row_size(type, COLS) == COLS / 32 * 34);
    CHECK(ql_row_size(type, 33) == 0);
    CHECK(ql_block_len(type) == 32);
    CHECK(ql_dtype_name(4) == NULL && ql_row_size(4, 32) == 0 && ql_block_len(4) == 0);
    CHECK(ql_dtype_from_name("q9", &type) == QL_ERROR_MISUSE);
    CHECK(strstr(ql_last_error_message(), "q9"));
    CHECK(ql_dtype_from_name(NULL, &type) == QL_ERROR_MISUSE);
    CHECK(ql_dtype_from_name("\xff", &type) == QL_ERROR_MISUSE);
    CHECK(ql_dtype_from_name("q8_0", NULL) == QL_ERROR_MISUSE);
    CHECK(ql_dtype_from_name("q8_0", &type) == QL_OK && *ql_last_error_message() == 0);
}

static void round_trip(void) {
    ql_options options = {0};
    options.struct_size = sizeof options;
    options.threads = 1;
    size_t size = ROWS * ql_row_size(8, COLS);
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, blocks, size, &options) == QL_OK);
    CHECK(ql_dequantize(8, blocks, size, y, LEN, &options) == QL_OK);
    for (int i = 0; i < LEN; i++) CHECK(fabsf(x[i] - y[i]) < 0.005f);

    unsigned short half[LEN];
    unsigned char from_half[LEN * 4], from_float[LEN * 4];
    CHECK(ql_quantize(1, x, ROWS, COLS, NULL, half, sizeof half, NULL) == QL_OK);
    CHECK(ql_dequantize(1, half, sizeof half, y, LEN, NULL) == QL_OK);
    CHECK(ql_quantize_from(8, 1, half, ROWS, COLS, NULL, from_half, size, NULL) == QL_OK);
    CHECK(ql_quantize(8, y, ROWS, COLS, NULL, from_float, size, NULL) == QL_OK);
    CHECK(memcmp(from_half, from_float, size) == 0);
}

static void misuse(void) {
    size_t size = ROWS * ql_row_size(8, COLS);
    float importance[COLS];
    for (int i = 0; i < COLS; i++) importance[i] = 1;
    CHECK(ql_quantize(8, x, ROWS, COLS, importance, blocks, size, NULL) == QL_OK);
    CHECK(ql_quantize(8, NULL, ROWS, COLS, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, NULL, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, blocks, size - 1, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, x, ROWS, 33, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, x, SIZE_MAX, 32, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, x, SIZE_MAX / 32, 32, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(5, x, ROWS, COLS, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(26, x, ROWS, COLS, NULL, blocks, LEN * 4, NULL) == QL_ERROR_UNSUPPORTED);
    CHECK(ql_quantize_from(8, 8, x, ROWS, COLS, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_dequantize(8, blocks, size - 1, y, LEN, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_dequantize(8, blocks, size, y, LEN - 1, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_quantize(8, NULL, 0, COLS, NULL, NULL, 0, NULL) == QL_OK);

    ql_options options = {0};
    options.struct_size = 4;
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, blocks, size, &options) == QL_ERROR_MISUSE);
    options.struct_size = 0;
    options.reserved[0] = 1;
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, blocks, size, &options) == QL_ERROR_MISUSE);
}

static void multiply(void) {
    size_t size = ROWS * ql_row_size(8, COLS);
    float exact[ROWS], decoded[ROWS], integers[ROWS];
    CHECK(ql_quantize(8, x, ROWS, COLS, NULL, blocks, size, NULL) == QL_OK);
    CHECK(ql_dequantize(8, blocks, size, y, LEN, NULL) == QL_OK);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS, 0, x, decoded, NULL) == QL_OK);
    CHECK(ql_matvec_q8(8, blocks, size, ROWS, COLS, 0, x, integers, NULL) == QL_OK);
    for (int row = 0; row < ROWS; row++) {
        exact[row] = 0;
        for (int i = 0; i < COLS; i++) exact[row] += y[row * COLS + i] * x[i];
        CHECK(fabsf(exact[row] - decoded[row]) < 1e-4f);
        CHECK(fabsf(exact[row] - integers[row]) < 0.3f);
    }
    unsigned short half[COLS];
    CHECK(ql_quantize(1, x, 1, COLS, NULL, half, sizeof half, NULL) == QL_OK);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS, 1, half, decoded, NULL) == QL_OK);
    CHECK(fabsf(exact[0] - decoded[0]) < 0.1f);

    CHECK(ql_matvec(8, blocks, size - 1, ROWS, COLS, 0, x, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS + 1, 0, x, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec(8, NULL, size, ROWS, COLS, 0, x, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS, 0, NULL, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS, 0, x, NULL, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec(8, blocks, size, ROWS, COLS, 8, x, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec_q8(5, blocks, size, ROWS, COLS, 0, x, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(ql_matvec_q8(26, x, 4, 1, 1, 0, x, exact, NULL) == QL_ERROR_UNSUPPORTED);
    CHECK(ql_matvec_q8(8, blocks, 0, SIZE_MAX, COLS, 0, x, NULL, NULL) == QL_ERROR_MISUSE);

    float bad[COLS] = {0};
    bad[7] = NAN;
    CHECK(ql_matvec_q8(8, blocks, size, ROWS, COLS, 0, bad, exact, NULL) == QL_ERROR_MISUSE);
    CHECK(strstr(ql_last_error_message(), "element 7"));
    ql_options options = {0};
    options.non_finite = 1;
    CHECK(ql_matvec_q8(8, blocks, size, ROWS, COLS, 0, bad, exact, &options) == QL_OK);
    CHECK(exact[0] == 0);
}

static void non_finite(void) {
    float bad[COLS] = {0};
    bad[7] = NAN;
    size_t size = ql_row_size(8, COLS);
    CHECK(ql_quantize(8, bad, 1, COLS, NULL, blocks, size, NULL) == QL_ERROR_MISUSE);
    CHECK(strstr(ql_last_error_message(), "column 7"));
    ql_options options = {0};
    options.non_finite = 1;
    CHECK(ql_quantize(8, bad, 1, COLS, NULL, blocks, size, &options) == QL_OK);
}

int main(void) {
    for (int i = 0; i < LEN; i++) x[i] = sinf((float)i);
    types();
    round_trip();
    misuse();
    multiply();
    non_finite();
    CHECK(strlen(ql_version()) > 0);
    puts("c codec: ok");
    return 0;
}
