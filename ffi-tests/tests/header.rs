//! The committed header is the generated one. `RELGRAD_WRITE_HEADER=1 cargo test --test header`
//! writes it.

use std::path::Path;

#[test]
fn header_is_up_to_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().unwrap();
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let builder =
        cbindgen::Builder::new().with_config(config).with_src(root.join("src/ffi/mod.rs"));
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    let path = root.join("include/relgrad.h");
    if std::env::var_os("RELGRAD_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read(&path).unwrap();
    let same = committed == generated;
    assert!(same, "include/relgrad.h is not what src/ffi says: RELGRAD_WRITE_HEADER=1 writes it");
}
