//! A file that is added to or removed from `web/` is in the next build: `include_dir!` alone notices changed ones only.

fn main() {
    println!("cargo::rerun-if-changed=web");
}
