#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| goawhy_fuzz::h2::run(data));
