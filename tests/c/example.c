/* Quantizes a small matrix, decodes it again and prints the largest error.
 *
 *   cc example.c $(pkg-config --cflags --libs quantlib_ffi) -lm
 */
#include <math.h>
#include <quantlib.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4, COLS = 256 };

static void check(ql_status status) {
    if (status != QL_OK) {
        fprintf(stderr, "quantlib: %s\n", ql_last_error_message());
        exit(1);
    }
}

int main(void) {
    static float weights[ROWS * COLS], decoded[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) weights[i] = sinf((float)i);

    ql_dtype type;
    check(ql_dtype_from_name("q8_0", &type));
    size_t size = ROWS * ql_row_size(type, COLS);
    void *blocks = malloc(size);
    if (!blocks) return 1;
    check(ql_quantize(type, weights, ROWS, COLS, NULL, blocks, size, NULL));
    check(ql_dequantize(type, blocks, size, decoded, ROWS * COLS, NULL));

    float worst = 0;
    for (int i = 0; i < ROWS * COLS; i++) worst = fmaxf(worst, fabsf(weights[i] - decoded[i]));
    printf("%d floats in %zu bytes of %s, largest error %.4f\n", ROWS * COLS, size,
           ql_dtype_name(type), worst);
    free(blocks);
    return worst < 0.005f ? 0 : 1;
}
