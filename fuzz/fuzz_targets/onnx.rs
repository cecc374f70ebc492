#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quantlib_fuzz::check(bytes, |path| quantlib::format::onnx::Reader::open(path));
});
