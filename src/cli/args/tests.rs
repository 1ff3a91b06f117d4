//! What may be said and what is wrong usage.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("cairn").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_of_the_contract_parses() {
    for line in [
        "",
        "node --name N --port 5 --interface a --interface b --peer 1.2.3.4:5 --peer [::1]:6 --no-discovery",
        "--data /tmp/x --json -vv status",
        "status --json --data /tmp/x",
        "whoami",
        "whoami --name N",
        "peers --wait 3 --timeout 2.5",
        "say everyone hi",
        "say --id a @maya -",
        "say person:maya -- --hi",
        "log #g --limit 3 --since 2h --follow",
        "log id:abc --since 2026-11-20T08:00:00+01:00",
        "receipts everyone token",
        "say --reply x everyone hi",
        "log everyone --history",
        "edit everyone x new",
        "delete @maya x --json",
        "react everyone x 👍 --remove",
        "pin @maya",
        "pin @maya --off --json",
        "mute everyone --for 8h",
        "custody",
        "custody everyone --documents",
        "custody @maya --json",
        "retention everyone",
        "retention @maya 4w",
        "retention @maya off",
        "forget @maya",
        "forget everyone --before 2026-11-01",
        "forget everyone --before 4w",
        "briefing",
        "briefing --all --json",
        "verify @maya",
        "verify @maya --confirm --json",
        "verify @maya --forget",
        "verify @maya --qr x.png",
        "verify @maya --scan x.jpg",
        "verify --scan -",
        "network list",
        "network join 00000000000000000000000000",
        "network apart 00000000000000000000000000",
        "network name 00000000000000000000000000 Post",
        "config get",
        "config get name",
        "config set port -1",
        "demo --headless",
        "doctor",
        "doctor --all --repair --compact --json",
        "backup /x/y",
        "restore --replace f",
        "debug kill storage",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn what_is_after_the_dashes_is_text() {
    let Some(Verb::Say { text, id, conversation, .. }) = parse("say --id x everyone -- --json").unwrap().verb else {
        panic!("not say")
    };
    assert_eq!((text.as_str(), id.as_deref(), conversation), ("--json", Some("x"), ConvRef::Everyone));
    let args = |l: &str| l.split(' ').map(OsString::from).collect::<Vec<_>>();
    assert!(!wants_json(&args("cairn say everyone -- --json")));
    assert!(wants_json(&args("cairn say everyone --json -- x")));
}

#[test]
fn wrong_usage_is_usage() {
    for line in [
        "dance",
        "say everyone",
        "say nobody hi",
        "say --id  everyone hi",
        &format!("say --id {} everyone hi", "x".repeat(65)),
        "log everyone --limit 0",
        "log everyone --since yesterday",
        "peers --timeout 3",
        "peers --wait -1",
        "peers --wait 1 --timeout -3",
        "peers --wait 1 --timeout nan",
        "edit everyone x",
        "react everyone x",
        "retention @maya soon",
        "retention @maya 4",
        "forget @maya --before yesterday",
        "verify",
        "verify maya",
        "verify @maya --confirm --forget",
        "verify @maya --confirm --scan x",
        "node --port 0",
        "node --port 70000",
        "node --peer nowhere",
        "network join xyz",
        "backup",
        "restore",
        "doctor everything",
    ] {
        let e = parse(line).expect_err(line);
        assert_eq!(e.exit_code(), 2, "{line}");
        assert_ne!(e.kind(), ErrorKind::DisplayHelp);
    }
}
