/* Models through the C ABI: opened, written, quantized.
 * Arguments: a folder of a Hugging Face model, an empty folder for outputs. */
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

static const char *in_folder(const char *folder, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

static void read_back(const char *path) {
    ql_model *model = NULL;
    ql_tensor_info info;
    ql_value value, item;
    float data[6];
    CHECK(ql_model_open(path, &model) == QL_OK);
    CHECK(ql_model_metadata_count(model) == 6);
    CHECK(strcmp(ql_model_metadata_key(model, 0), "general.architecture") == 0);
    CHECK(ql_model_metadata(model, "general.architecture", &value) == QL_OK);
    CHECK(value.type == QL_VALUE_STRING && value.count == 4 && memcmp(value.data, "test", 4) == 0);
    CHECK(ql_model_metadata(model, "test.count", &value) == QL_OK);
    CHECK(value.type == QL_VALUE_U32 && *(const uint32_t *)value.data == 7);
    CHECK(ql_model_metadata(model, "test.flag", &value) == QL_OK);
    CHECK(value.type == QL_VALUE_BOOL && *(const uint8_t *)value.data == 1);
    CHECK(ql_model_metadata(model, "test.numbers", &value) == QL_OK);
    CHECK(value.type == QL_VALUE_ARRAY && value.element_type == QL_VALUE_I64 && value.count == 2);
    CHECK(((const int64_t *)value.data)[1] == -2);
    CHECK(ql_value_item(&value, 0, &item) == QL_ERROR_MISUSE);
    CHECK(ql_model_metadata(model, "test.strings", &value) == QL_OK);
    CHECK(value.element_type == QL_VALUE_STRING && value.count == 2 && value.data == NULL);
    CHECK(ql_value_item(&value, 1, &item) == QL_OK);
    CHECK(item.count == 1 && *(const char *)item.data == 'b');
    CHECK(ql_value_item(&value, 2, &item) == QL_ERROR_MISUSE);
    CHECK(ql_model_tensor_info(model, 0, &info) == QL_OK);
    CHECK(info.n_dims == 2 && info.shape[0] == 2 && info.shape[1] == 3 && info.nbytes == 24);
    CHECK(ql_model_read(model, 0, 0, data, sizeof data) == QL_OK && data[5] == 5);
    ql_model_close(model);
}

static void write(const char *folder) {
    const char *path = in_folder(folder, "written.gguf");
    const char *strings[] = {"a", "b"};
    const int64_t numbers[] = {1, -2};
    const float data[] = {0, 1, 2, 3, 4, 5};
    const uint64_t shape[] = {2, 3};
    ql_value value = {0};
    value.type = QL_VALUE_ARRAY;
    value.element_type = QL_VALUE_I64;
    value.count = 2;
    value.data = numbers;
    ql_gguf_writer *writer = NULL;
    CHECK(ql_gguf_writer_create("no/such/folder/x.gguf", &writer) == QL_ERROR_IO);
    CHECK(ql_gguf_writer_create(path, &writer) == QL_OK);
    ql_gguf_writer_close(writer);
    CHECK(!exists(path));

    CHECK(ql_gguf_writer_create(path, &writer) == QL_OK);
    CHECK(ql_gguf_writer_set_string(writer, "general.architecture", "test") == QL_OK);
    CHECK(ql_gguf_writer_set_u32(writer, "test.count", 7) == QL_OK);
    CHECK(ql_gguf_writer_set_bool(writer, "test.flag", 1) == QL_OK);
    CHECK(ql_gguf_writer_set_f32(writer, "test.ratio", 0.5f) == QL_OK);
    CHECK(ql_gguf_writer_set(writer, "test.numbers", &value) == QL_OK);
    CHECK(ql_gguf_writer_set_strings(writer, "test.strings", strings, 2) == QL_OK);
    value.type = 77;
    CHECK(ql_gguf_writer_set(writer, "test.wrong", &value) == QL_ERROR_MISUSE);
    CHECK(ql_gguf_writer_start_tensor(writer, "t", 0, shape, 2) == QL_OK);
    CHECK(ql_gguf_writer_write(writer, data, 8) == QL_OK);
    CHECK(ql_gguf_writer_write(writer, data, 17) == QL_ERROR_MISUSE);
    ql_gguf_writer_close(writer);

    CHECK(ql_gguf_writer_create(path, &writer) == QL_OK);
    CHECK(ql_gguf_writer_set_string(writer, "general.architecture", "test") == QL_OK);
    CHECK(ql_gguf_writer_set_u32(writer, "test.count", 7) == QL_OK);
    CHECK(ql_gguf_writer_set_bool(writer, "test.flag", 1) == QL_OK);
    CHECK(ql_gguf_writer_set_f32(writer, "test.ratio", 0.5f) == QL_OK);
    value.type = QL_VALUE_ARRAY;
    CHECK(ql_gguf_writer_set(writer, "test.numbers", &value) == QL_OK);
    CHECK(ql_gguf_writer_set_strings(writer, "test.strings", strings, 2) == QL_OK);
    CHECK(ql_gguf_writer_add_tensor(writer, "t", 0, shape, 2, data, sizeof data) == QL_OK);
    CHECK(ql_gguf_writer_finish(writer) == QL_OK);
    read_back(path);
}

struct calls {
    uint64_t done, total;
    int cancel;
};

static int progress(void *user, uint64_t done, uint64_t total) {
    struct calls *calls = user;
    CHECK(done >= calls->done && done <= total);
    calls->done = done;
    calls->total = total;
    return calls->cancel;
}

/* Writes an importance matrix of one entry, in the older form. */
static const char *in_one_entry(const char *folder) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/one.dat", folder);
    const int32_t entries = 1, name = 5, calls = 1, values = 1;
    const float weight = 1;
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(&entries, 4, 1, file) && fwrite(&name, 4, 1, file) && fwrite("other", 5, 1, file));
    CHECK(fwrite(&calls, 4, 1, file) && fwrite(&values, 4, 1, file) && fwrite(&weight, 4, 1, file));
    CHECK(fclose(file) == 0);
    return path;
}

static void check_entries(const char *path, uint32_t expected) {
    ql_model *model = NULL;
    ql_value value;
    CHECK(ql_model_open(path, &model) == QL_OK);
    CHECK(ql_model_metadata(model, "quantize.imatrix.entries_count", &value) == QL_OK);
    CHECK(*(const uint32_t *)value.data == expected);
    ql_model_close(model);
}

static void quantize(const char *src, const char *folder) {
    const char *path = in_folder(folder, "quantized.gguf");
    struct calls calls = {0, 0, 1};
    ql_options options = {0};
    options.struct_size = sizeof options;
    options.progress = progress;
    options.user = &calls;
    CHECK(ql_quantize_model(src, path, "q4_k_m", &options) == QL_ERROR_CANCELLED);
    CHECK(!exists(path));
    calls.cancel = 0;
    calls.done = 0;
    CHECK(ql_quantize_model(src, path, "no_such_recipe", &options) == QL_ERROR_MISUSE);
    CHECK(ql_quantize_model("no/such/model", path, "q4_k_m", &options) == QL_ERROR_IO);
    options.imatrix = "no/such/matrix.gguf";
    CHECK(ql_quantize_model(src, path, "q4_k_m", &options) == QL_ERROR_IO);
    CHECK(strstr(ql_last_error_message(), "no/such/matrix.gguf"));
    CHECK(!exists(path));
    options.imatrix = in_one_entry(folder);
    CHECK(ql_quantize_model(src, path, "q4_k_m", &options) == QL_OK);
    check_entries(path, 1);
    options.imatrix = NULL;
    calls.done = 0;
    CHECK(ql_quantize_model(src, path, "Q4_K_M", &options) == QL_OK);
    CHECK(calls.done == calls.total && calls.total > 0);

    ql_model *model = NULL;
    ql_value value;
    CHECK(ql_model_open(path, &model) == QL_OK);
    CHECK(ql_model_metadata(model, "general.file_type", &value) == QL_OK);
    CHECK(*(const uint32_t *)value.data == 15); /* LLAMA_FTYPE_MOSTLY_Q4_K_M */
    ql_model_close(model);

    CHECK(ql_convert_model(src, path, "f16", NULL) == QL_OK);
    CHECK(ql_convert_model(src, path, "f17", NULL) == QL_ERROR_MISUSE);
    CHECK(ql_model_open(path, &model) == QL_OK);
    tensors(model);
    ql_model_close(model);
}

/* MLX and Hugging Face folders, and lines of settings. */
static void folders(const char *src, const char *folder) {
    static char path[3][4096];
    const char *names[] = {"mlx", "again", "plain"};
    for (int i = 0; i < 3; i++) snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
    ql_options options = {0};
    ql_model *model = NULL;
    size_t index;
    ql_tensor_info info;
    options.settings = "no-such-thing"; /* not read: the struct says that it is the first version's */
    CHECK(ql_convert_model(src, in_folder(folder, "first.gguf"), "f16", &options) == QL_OK);
    options.struct_size = sizeof options;
    CHECK(ql_convert_model(src, in_folder(folder, "first.gguf"), "f16", &options) == QL_ERROR_MISUSE);
    CHECK(strstr(ql_last_error_message(), "no-such-thing"));
    static const char *const wrong[] = {"group-size=48", "group-size", "group-size=x", "force=maybe", "block-size=32"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.settings = wrong[i];
        CHECK(ql_quantize_model(src, path[0], "mlx-4bit", &options) == QL_ERROR_MISUSE);
    }
    options.settings = "block-size=32\nsymmetric\nexclude=lm_head\nnode=wte=int8";
    const char *onnx = in_folder(folder, "int4.onnx");
    CHECK(ql_quantize_model("no/such/model.onnx", onnx, "int4", &options) == QL_ERROR_IO);
    options.settings = "accuracy-level=x";
    CHECK(ql_quantize_model("no/such/model.onnx", path[0], "int4", &options) == QL_ERROR_MISUSE);
    options.settings = "group-size=32\n layer-type = lm_head=mlx-8bit\n";
    CHECK(ql_quantize_model(src, path[0], "mlx-4bit", &options) == QL_OK);
    CHECK(ql_model_open(in_folder(path[0], "model.safetensors"), &model) == QL_OK);
    CHECK(ql_model_find_tensor(model, "lm_head.weight", &index) == QL_OK);
    CHECK(ql_model_tensor_info(model, index, &info) == QL_OK && info.shape[1] == 256 / 4);
    ql_model_close(model);
    options.settings = NULL;
    CHECK(ql_quantize_model(path[0], path[1], "mlx-mxfp4", &options) == QL_ERROR_MISUSE);
    options.allow_requantize = 1;
    CHECK(ql_quantize_model(path[0], path[1], "mlx-mxfp4", &options) == QL_OK);
    options.settings = "to=hf\nexact";
    CHECK(ql_convert_model(path[1], path[2], "auto", &options) == QL_ERROR_UNSUPPORTED);
    options.settings = "to=pdf";
    CHECK(ql_convert_model(path[1], path[2], "auto", &options) == QL_ERROR_MISUSE);
    options.settings = "to=hf";
    CHECK(ql_convert_model(path[1], path[2], "auto", &options) == QL_OK);
    options.settings = "exact";
    CHECK(ql_convert_model(path[1], in_folder(folder, "exact.gguf"), "auto", &options) == QL_OK);
}

/* A message of protobuf that grows. */
struct message {
    unsigned char bytes[8192];
    size_t len;
};

static void number(struct message *to, unsigned char field, size_t value) {
    to->bytes[to->len++] = (unsigned char)(field << 3);
    for (; value > 127; value >>= 7) to->bytes[to->len++] = (unsigned char)(value | 128);
    to->bytes[to->len++] = (unsigned char)value;
}

static void bytes(struct message *to, unsigned char field, const void *from, size_t len) {
    number(to, field, len);
    /* The same, but for the kind of the field, in the byte before the length. */
    to->bytes[to->len - (len > 127 ? len > 16383 ? 4 : 3 : 2)] |= 2;
    memcpy(to->bytes + to->len, from, len);
    to->len += len;
}

static void string(struct message *to, unsigned char field, const char *from) { bytes(to, field, from, strlen(from)); }

static void onnx_value(struct message *graph, unsigned char field, const char *name, size_t cols) {
    struct message value = {{0}, 0}, type = {{0}, 0}, tensor = {{0}, 0}, shape = {{0}, 0}, dim = {{0}, 0};
    number(&dim, 1, cols);
    bytes(&shape, 1, dim.bytes, dim.len);
    bytes(&shape, 1, dim.bytes, dim.len);
    number(&tensor, 1, 1);
    bytes(&tensor, 2, shape.bytes, shape.len);
    bytes(&type, 1, tensor.bytes, tensor.len);
    string(&value, 1, name);
    bytes(&value, 2, type.bytes, type.len);
    bytes(graph, field, value.bytes, value.len);
}

/* A product of matrices, quantized with settings. */
static void onnx(const char *folder) {
    enum { N = 32 };
    static char path[2][4096];
    static float weights[N * N];
    static struct message model, graph, node, opset, weight;
    snprintf(path[0], sizeof path[0], "%s/in.onnx", folder);
    snprintf(path[1], sizeof path[1], "%s/out.onnx", folder);
    for (int i = 0; i < N * N; i++) weights[i] = (float)(i % 7) - 3;
    string(&node, 1, "x");
    string(&node, 1, "w");
    string(&node, 2, "y");
    string(&node, 3, "product");
    string(&node, 4, "MatMul");
    number(&weight, 1, N);
    number(&weight, 1, N);
    number(&weight, 2, 1);
    string(&weight, 8, "w");
    bytes(&weight, 9, weights, sizeof weights);
    bytes(&graph, 1, node.bytes, node.len);
    string(&graph, 2, "g");
    bytes(&graph, 5, weight.bytes, weight.len);
    onnx_value(&graph, 11, "x", N);
    onnx_value(&graph, 12, "y", N);
    number(&opset, 2, 21);
    number(&model, 1, 10);
    bytes(&model, 7, graph.bytes, graph.len);
    bytes(&model, 8, opset.bytes, opset.len);
    FILE *file = fopen(path[0], "wb");
    CHECK(file && fwrite(model.bytes, 1, model.len, file) == model.len && fclose(file) == 0);

    ql_options options = {0};
    ql_model *made = NULL;
    ql_tensor_info info;
    size_t sizes = 0;
    options.struct_size = sizeof options;
    options.settings = "block-size=16\nsymmetric\nlayout=matmulnbits\naccuracy-level=4";
    CHECK(ql_quantize_model(path[0], path[1], "int4", &options) == QL_OK);
    CHECK(ql_model_open(path[1], &made) == QL_OK && ql_model_tensor_count(made) == 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK(ql_model_tensor_info(made, i, &info) == QL_OK);
        sizes += info.nbytes;
    }
    CHECK(sizes == N * N / 2 + N * (N / 16) * sizeof(float)); /* codes and scales, no zero points */
    ql_model_close(made);
    options.settings = "exclude=prod";
    CHECK(ql_quantize_model(path[0], path[1], "int4", &options) == QL_OK);
    CHECK(ql_model_open(path[1], &made) == QL_OK && ql_model_tensor_count(made) == 1);
    ql_model_close(made);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    ql_model *model = NULL;
    CHECK(ql_model_open(argv[1], &model) == QL_OK);
    errors(model);
    tensors(model);
    ql_model_close(model);
    write(argv[2]);
    quantize(argv[1], argv[2]);
    folders(argv[1], argv[2]);
    onnx(argv[2]);
    puts("c model: ok");
    return 0;
}
