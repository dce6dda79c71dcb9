//! The header's folder, as crates that compile C against it find it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let include = std::env::var("DEP_RELGRAD_INCLUDE").expect("from relgrad's build script");
    assert!(std::path::Path::new(&include).join("relgrad.h").is_file(), "{include}");
    println!("cargo::rustc-env=RELGRAD_INCLUDE={include}");
}
