//! How far catching up is, in `status` and as an event of `node`.

use cairn_actors::api::{Bringer, CatchUp, Event};
use cairn_crdt::ids::{DeviceId, SpaceId};

use crate::cli::text::Style;
use crate::cli::{human, json};
use crate::local::fake::status;

fn far() -> CatchUp {
    let from = Bringer { id: DeviceId([1; 32]), name: "Ma\u{1b}[31mya".into(), left: 87_600 };
    CatchUp {
        conversation: SpaceId([2; 32]),
        title: "Everyone\nelse".into(),
        came: 12_400,
        left: 87_600,
        from: vec![from],
    }
}

#[test]
fn scripts_read_what_came_what_is_left_and_from_whom() {
    let line = json::event(&Event::CatchUp(Box::new(far())), |_| None);
    let (space, device) = (SpaceId([2; 32]), DeviceId([1; 32]));
    let title = r#""title":"Everyone\nelse","came":12400,"left":87600"#;
    let from = format!(r#""from":[{{"id":"{device}","name":"Ma\u001b[31mya","left":87600}}]"#);
    let body = format!(r#""conversation":"{space}",{title},{from}"#);
    assert_eq!(line, format!(r#"{{"event":"catch_up",{body}}}"#));
    let mut s = status();
    assert!(json::status(&s, true).contains(r#""catching_up":[],"#));
    s.catching_up.push(far());
    assert!(json::status(&s, true).contains(&format!(r#""catching_up":[{{{body}}}],"#)));
}

#[test]
fn people_read_a_line_a_conversation_and_no_control_codes() {
    let mut s = status();
    assert!(!human::status(&s, true, Style(false)).iter().any(|l| l.starts_with("coming")));
    s.catching_up.push(far());
    let lines = human::status(&s, true, Style(false));
    let line = lines.iter().find(|l| l.starts_with("coming")).unwrap();
    assert!(line.contains("12,400 of 100,000 from Ma") && !line.contains(['\u{1b}', '\n']), "{line:?}");
}
