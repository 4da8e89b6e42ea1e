#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signal_proto::fuzz::server_message(bytes));
