//! The binary starts and says which version it is. Cargo builds it for this test, which is also how the tests of the
//! whole find it beside them.

#[test]
fn it_says_its_version() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_cairn")).arg("--version").output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).contains(env!("CARGO_PKG_VERSION")), "{out:?}");
}
