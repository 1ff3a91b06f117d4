//! The binary starts and says which version it is, and keeps what a person tells it under a passphrase. Cargo builds it for this test, which is also how the tests of the
//! whole find it beside them.

#[test]
fn it_says_its_version() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_cairn")).arg("--version").output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).contains(env!("CARGO_PKG_VERSION")), "{out:?}");
}

/// A passphrase over the data folder, from the command line alone.
#[cfg(unix)]
#[expect(clippy::unwrap_used, reason = "helpers of a test")]
mod passphrase {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output, Stdio};

    const PLANTED: &str = "planted word of a person";

    fn cairn(data: &Path, args: &[&str], passphrase: Option<&Path>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.arg("--json").arg("--data").arg(data).args(args).stdin(Stdio::null());
        command.env_remove("CAIRN_DATA").env_remove("CAIRN_PASSPHRASE_FILE");
        if let Some(file) = passphrase {
            command.arg("--passphrase-file").arg(file);
        }
        command.output().unwrap()
    }

    /// What it printed.
    fn done(output: Output) -> String {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The code of its error.
    fn failed(output: Output) -> String {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let line = text.lines().last().unwrap_or_default();
        line.strip_prefix(r#"{"error":""#).and_then(|l| l.split('"').next()).unwrap_or(line).to_owned()
    }

    fn secret(path: &Path, text: &str) {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn shows(folder: &Path) -> bool {
        let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        files.filter(|path: &PathBuf| path.is_file()).any(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(PLANTED.len()).any(|w| w == PLANTED.as_bytes())
        })
    }

    #[test]
    fn it_is_set_asked_for_changed_and_removed_and_a_folder_is_wiped() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (data, words, wrong, new) = (path("data"), path("words"), path("wrong"), path("new"));
        secret(&words, "correct horse battery staple\n");
        secret(&wrong, "correct horse battery stable\n");
        secret(&new, "another four words here\n");
        done(cairn(&data, &["say", "everyone", PLANTED], None));
        assert!(shows(&data), "the search finds it");
        let status = done(cairn(&data, &["passphrase", "status"], None));
        assert!(status.contains(r#""sealed":false"#) && status.contains("whoever gets the disk"), "{status}");
        assert_eq!(failed(cairn(&data, &["passphrase", "remove"], Some(&words))), "no_passphrase");

        let set = ["passphrase", "set", "--file", words.to_str().unwrap()];
        assert!(done(cairn(&data, &set, None)).contains(r#""sealed":true"#));
        assert_eq!(failed(cairn(&data, &set, None)), "has_passphrase");
        done(cairn(&data, &["say", "everyone", &format!("{PLANTED}, again")], Some(&words)));
        assert!(!shows(&data));
        for verb in ["status", "doctor", "peers"] {
            assert_eq!(failed(cairn(&data, &[verb], None)), "locked", "{verb}");
        }
        assert_eq!(failed(cairn(&data, &["status"], Some(&wrong))), "wrong_passphrase");
        let doctor = done(cairn(&data, &["doctor"], Some(&words)));
        assert!(doctor.contains(r#"{"check":"passphrase","state":"ok","message":"the folder is sealed"#), "{doctor}");
        std::fs::set_permissions(&words, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(failed(cairn(&data, &["status"], Some(&words))), "passphrase_file");
        std::fs::set_permissions(&words, std::fs::Permissions::from_mode(0o600)).unwrap();

        // A backup comes back elsewhere with its passphrase alone.
        std::fs::create_dir(path("saved")).unwrap();
        let (file, other) = (path("saved").join("file"), path("other"));
        done(cairn(&data, &["backup", file.to_str().unwrap()], Some(&words)));
        assert!(!shows(&path("saved")));
        let restore = ["restore", file.to_str().unwrap(), "--backup-passphrase-file"];
        let restored = |with: &Path| cairn(&other, &[&restore[..], &[with.to_str().unwrap()]].concat(), None);
        assert_eq!(failed(cairn(&other, &restore[..2], None)), "backup_sealed");
        assert_eq!(failed(restored(&wrong)), "wrong_passphrase");
        done(restored(&words));
        done(cairn(&other, &["status"], Some(&words)));

        let change = ["passphrase", "change", "--file", new.to_str().unwrap()];
        assert_eq!(failed(cairn(&data, &change, Some(&wrong))), "wrong_passphrase");
        done(cairn(&data, &change, Some(&words)));
        assert_eq!(failed(cairn(&data, &["status"], Some(&words))), "wrong_passphrase");
        assert!(done(cairn(&data, &["passphrase", "remove"], Some(&new))).contains(r#""sealed":false"#));
        done(cairn(&data, &["status"], None));
        assert!(shows(&data), "nothing was lost");

        assert_eq!(failed(cairn(&data, &["wipe"], None)), "not_confirmed");
        done(cairn(&data, &["wipe", "--yes"], None));
        assert!(!data.exists());
        done(cairn(&other, &["wipe", "--yes"], None));
        assert!(!other.exists(), "it needs no passphrase");
    }
}
