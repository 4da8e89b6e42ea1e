#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| signal_srv::fuzz::connection(script));
