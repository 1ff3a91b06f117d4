//! `retention` and `forget`, over the socket and without a node.

use cairn_actors::api::{Event, What};
use cairn_crdt::ids::SpaceId;

use super::{Captured, code};
use crate::cli::backend::node;
use crate::cli::offline::Offline;
use crate::cli::retention::{Keep, forget, retention};
use crate::cli::text::{Out, Style};
use crate::cli::time::Since;
use crate::cli::{human, json};
use crate::local::fake::FakeNode;
use crate::local::resolve::ConvRef;
use crate::local::server::serve;

fn maya() -> ConvRef {
    "@maya".parse().unwrap()
}

#[tokio::test]
async fn it_is_shown_set_and_unset_and_a_copy_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    retention(&mut client, &mut out, &maya(), None).await.unwrap();
    retention(&mut client, &mut out, &maya(), Some("4w".parse().unwrap())).await.unwrap();
    retention(&mut client, &mut out, &maya(), Some(Keep::Off)).await.unwrap();
    forget(&mut client, &mut out, &maya(), Some("2026-11-01".parse().unwrap())).await.unwrap();
    forget(&mut client, &mut out, &maya(), None).await.unwrap();
    let text = captured.text();
    let lines: Vec<_> = text.lines().collect();
    let keeps = ["null", "2419200", "null", "null", "null"].map(|keep| format!("\"keep_seconds\":{keep},"));
    assert!(lines.iter().zip(&keeps).all(|(line, keep)| line.contains(keep)), "{text}");
    assert!(lines[3].contains("\"erased_before\":\"2026-11-01T00:00:00.000Z\""), "{text}");
    let bad = retention(&mut client, &mut out, &maya(), Some("1s".parse().unwrap())).await;
    assert_eq!(code(bad), "bad_duration");
    let nobody = "@nobody".parse().unwrap();
    assert_eq!(code(forget(&mut client, &mut out, &nobody, None).await), "no_such_conversation");
}

#[tokio::test]
async fn what_it_says_is_a_contract_and_plain() {
    let fake = FakeNode::start();
    let place = SpaceId([4; 32]);
    let r = fake.handle().set_retention(place, Some(86_400)).await.unwrap();
    let by = r.set_by.unwrap();
    assert_eq!(
        json::retention(&r),
        format!(
            r#"{{"conversation":"{place}","keep_seconds":86400,"shared":true,"set_by":"{by}","set_by_name":"Maya","set_at":"1970-01-01T00:00:01.000Z","gone_before":"1970-01-01T00:00:05.000Z","erased_before":null,"erases_at":null,"agreed":false,"sentence":"Messages between you are kept."}}"#
        )
    );
    let gone = Event::Gone { conversation: place, what: What::Hidden, before: 0 };
    assert_eq!(
        json::event(&gone, |_| None),
        format!(r#"{{"event":"gone","conversation":"{place}","what":"hidden","before":"1970-01-01T00:00:00.000Z"}}"#)
    );
    let told = Event::Retention(Box::new(r.clone()));
    assert!(json::event(&told, |_| None).starts_with(r#"{"event":"retention","conversation":"#));
    let lines = human::retention(&r, "Maya\u{1b}[2J", Style(false)).join("\n");
    assert!(lines.contains("Messages between you are kept.") && !lines.contains('\u{1b}'), "{lines}");
    assert!(lines.contains("until the other side's clock agrees"), "{lines}");
    assert!(human::forgotten(&r, "Maya").contains("nothing"));
}

#[test]
fn durations_and_dates_are_as_they_are_written() {
    assert_eq!("off".parse(), Ok(Keep::Off));
    assert_eq!("1w2d".parse(), Ok(Keep::For(std::time::Duration::from_secs(9 * 86_400))));
    for bad in ["", "4", "x", "2026-11-01", "-1d", "99999999999999999999w"] {
        assert!(bad.parse::<Keep>().is_err(), "{bad}");
    }
    assert_eq!("2026-11-01".parse(), Ok(Since::At(1_793_491_200_000)));
    assert!("2026-13-01".parse::<Since>().is_err());
}

#[tokio::test]
async fn without_a_node_it_is_shown_and_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Offline::open(dir.path()).unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    let everyone = "everyone".parse().unwrap();
    assert_eq!(code(retention(&mut store, &mut out, &everyone, Some(Keep::Off)).await), "no_node");
    assert_eq!(code(forget(&mut store, &mut out, &everyone, None).await), "no_node");
    assert_eq!(code(retention(&mut store, &mut out, &everyone, None).await), "no_such_conversation");
    assert_eq!(captured.text(), "");
}
