//! Profiles, contacts and read marks: the last word counts, whoever's start it came from, in any order of delivery.

use std::sync::Arc;

use crate::common::{Hostile, NOON, Person};
use automerge::transaction::Transactable;
use automerge::{ObjType, ROOT};
use cairn_crdt::author::{Author, AuthorError};
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, Kind, MessageId, SpaceId};
use cairn_crdt::kinds::contacts::{Contact, Contacts, set_contact};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::kinds::profile::{Profile, set_name};
use cairn_crdt::kinds::read_marks::{ReadMarks, set_mark};
use cairn_crdt::writer::LogWriter;

struct Pen {
    author: Author,
    writer: LogWriter,
}

impl Pen {
    fn new(p: &Person, document: DocumentId) -> Self {
        Self { author: Author::new(p.log(document)), writer: p.pen(document) }
    }

    fn write(&mut self, ms: u64, edit: impl FnOnce(&mut Author, Hlc) -> Result<Vec<u8>, AuthorError>) -> Arc<Entry> {
        let hlc = Hlc::from_ms(NOON + ms);
        let raw = edit(&mut self.author, hlc).unwrap();
        Arc::new(self.writer.write(raw, hlc).unwrap())
    }
}

#[test]
fn the_last_name_counts() {
    let (old, new) = (Person::new(1, 9), Person::new(1, 2));
    let id = DocumentId::profile(&old.id());
    let (mut a, mut b) = (Pen::new(&old, id), Pen::new(&new, id));
    let a1 = a.write(1, |w, t| set_name(w, t, "Ann"));
    let a2 = a.write(5, |w, t| set_name(w, t, "Ann M."));
    let b1 = b.write(3, |w, t| set_name(w, t, "Annie"));
    let b2 = b.write(9, |w, t| set_name(w, t, "安"));
    for order in [[&a1, &a2, &b1, &b2], [&b1, &b2, &a1, &a2], [&a1, &b1, &a2, &b2]] {
        let mut p = Profile::new(&old.id());
        for e in order {
            assert!(p.apply(std::slice::from_ref(e))[0].is_valid());
        }
        assert_eq!(p.name(), Some(("安", Hlc::from_ms(NOON + 9))));
    }
    let mut p = Profile::new(&old.id());
    p.apply(&[b1, a1, a2]);
    assert_eq!(p.name().map(|n| n.0), Some("Ann M."));
    for bad in ["", "  ", "a\nb", &"x".repeat(65)] {
        assert!(set_name(&mut a.author, Hlc::from_ms(NOON + 20), bad).is_err());
    }
    assert_eq!(a.author.seq(), 2);
}

#[test]
fn nobody_writes_anothers_profile_or_another_start() {
    let ann = Person::new(1, 1);
    let id = DocumentId::profile(&ann.id());
    let mut mine = Pen::new(&ann, id);
    let mut p = Profile::new(&ann.id());
    p.apply(&[mine.write(1, |w, t| set_name(w, t, "Ann"))]);
    let mut eve = Hostile::new(66, 66, id);
    let own = eve.person.incarnation.to_string();
    let e = eve.write(|tx, _| {
        let map = tx.put_object(ROOT, own, ObjType::Map).unwrap();
        tx.put(&map, "name", "Ann (really)").unwrap();
    });
    assert!(matches!(p.apply(&[e])[0], Outcome::Void(_)));
    // The same device may not write at another start's key, nor a name that cannot stand.
    for (key, name) in
        [(ann.incarnation.to_string(), "x"), (crate::common::Person::new(1, 7).incarnation.to_string(), "\u{7}")]
    {
        let mut other = Hostile::new(1, 7, id);
        let e = other.write(|tx, _| {
            let map = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&map, "name", name).unwrap();
        });
        assert!(matches!(p.apply(&[e])[0], Outcome::Void(_)));
        p = Profile::new(&ann.id());
        let mut again = Pen::new(&ann, id);
        p.apply(&[again.write(1, |w, t| set_name(w, t, "Ann"))]);
    }
    assert_eq!(p.name().map(|n| n.0), Some("Ann"));
}

#[test]
fn contacts_take_the_last_record_of_each_device() {
    let id = DocumentId::singleton(Kind::Contacts);
    let (mut a, mut b) = (Pen::new(&Person::new(1, 1), id), Pen::new(&Person::new(1, 2), id));
    let (x, y) = (DeviceId([7; 32]), DeviceId([8; 32]));
    let named = |n: &str| Contact { petname: Some(n.into()), verified: None };
    let both = Contact { petname: Some("Medic".into()), verified: Some("digest".into()) };
    let entries = [
        a.write(1, |w, t| set_contact(w, t, &x, &both)),
        a.write(4, |w, t| set_contact(w, t, &y, &named("Yak"))),
        b.write(2, |w, t| set_contact(w, t, &x, &named("Doctor"))),
        b.write(6, |w, t| set_contact(w, t, &y, &Contact::default())),
        a.write(8, |w, t| set_contact(w, t, &x, &named("Medic-3"))),
    ];
    for order in [[0, 1, 2, 3, 4], [2, 3, 0, 1, 4], [0, 2, 1, 4, 3]] {
        let mut c = Contacts::new();
        for at in order {
            assert!(c.apply(&entries[at..=at])[0].is_valid());
        }
        assert_eq!(c.get(&x), Some(&named("Medic-3")), "the digest went with the last record");
        assert_eq!(c.get(&y), Some(&Contact::default()));
        assert_eq!(c.get(&DeviceId([9; 32])), None);
        assert_eq!(c.iter().map(|(d, _)| d).collect::<Vec<_>>(), [x, y]);
    }
}

#[test]
fn read_marks_only_go_forward() {
    let id = DocumentId::singleton(Kind::ReadMarks);
    let (mut a, mut b) = (Pen::new(&Person::new(1, 1), id), Pen::new(&Person::new(1, 2), id));
    let (s, t) = (SpaceId([1; 32]), SpaceId([2; 32]));
    let key = |n| OrderKey { stamp: Hlc(n), device: DeviceId([1; 32]), id: MessageId([1; 16]) };
    let entries = [
        a.write(1, |w, h| set_mark(w, h, &s, &key(100))),
        b.write(2, |w, h| set_mark(w, h, &s, &key(50))),
        a.write(3, |w, h| set_mark(w, h, &t, &key(7))),
        b.write(4, |w, h| set_mark(w, h, &s, &key(120))),
        a.write(5, |w, h| set_mark(w, h, &s, &key(110))),
    ];
    for order in [[0, 1, 2, 3, 4], [1, 3, 0, 2, 4]] {
        let mut m = ReadMarks::new();
        for at in order {
            assert!(m.apply(&entries[at..=at])[0].is_valid());
        }
        assert_eq!((m.get(&s), m.get(&t), m.get(&SpaceId([3; 32]))), (key(120), key(7), OrderKey::MIN));
        assert_eq!(m.iter().count(), 2);
    }
}
