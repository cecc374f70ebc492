/* Opened models through the C ABI. Arguments: a safetensors file, an empty folder for outputs. */
#include <quantlib.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

static void errors(ql_model *model) {
    ql_model *none = NULL;
    ql_tensor_info info;
    ql_value value;
    size_t index;
    CHECK(ql_model_open("no/such/file.gguf", &none) == QL_ERROR_IO && none == NULL);
    CHECK(strstr(ql_last_error_message(), "no/such/file.gguf"));
    CHECK(ql_model_open(NULL, &none) == QL_ERROR_MISUSE);
    CHECK(ql_model_tensor_info(model, ql_model_tensor_count(model), &info) == QL_ERROR_MISUSE);
    CHECK(ql_model_tensor_info(NULL, 0, &info) == QL_ERROR_MISUSE);
    CHECK(ql_model_find_tensor(model, "nothing", &index) == QL_ERROR_MISUSE);
    CHECK(ql_model_metadata(model, "nothing", &value) == QL_ERROR_MISUSE);
    CHECK(ql_model_tensor_count(NULL) == 0 && ql_model_metadata_key(NULL, 0) == NULL);
    ql_model_close(NULL);
}

static void tensors(ql_model *model) {
    size_t count = ql_model_tensor_count(model);
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        ql_tensor_info info;
        size_t found;
        CHECK(ql_model_tensor_info(model, i, &info) == QL_OK);
        CHECK(ql_model_find_tensor(model, info.name, &found) == QL_OK && found == i);
        unsigned char *bytes = malloc(info.nbytes);
        CHECK(bytes && ql_model_read(model, i, 0, bytes, info.nbytes) == QL_OK);
        unsigned char last;
        CHECK(ql_model_read(model, i, info.nbytes - 1, &last, 1) == QL_OK);
        CHECK(last == bytes[info.nbytes - 1]);
        CHECK(ql_model_read(model, i, info.nbytes, &last, 1) == QL_ERROR_MISUSE);
        CHECK(ql_model_read(model, i, UINT64_MAX, &last, 1) == QL_ERROR_MISUSE);
        free(bytes);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    ql_model *model = NULL;
    CHECK(ql_model_open(argv[1], &model) == QL_OK);
    errors(model);
    tensors(model);
    ql_model_close(model);
    puts("c model: ok");
    return 0;
}
