#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| goawhy_fuzz::tcp::run(data));
