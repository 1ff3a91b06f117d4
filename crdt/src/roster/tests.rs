//! Who may write, up to where, and who has come in.

use std::collections::BTreeMap;

use super::*;
use crate::ids::{DocumentId, Incarnation};
use crate::membership::Cut;

const A: PrincipalId = PrincipalId([1; 32]);
const B: PrincipalId = PrincipalId([2; 32]);
const C: PrincipalId = PrincipalId([3; 32]);
const D: PrincipalId = PrincipalId([4; 32]);

/// A group as it is written, one operation after the other unless said otherwise.
struct Story {
    origin: Origin,
    all: Vec<(Fresh, EntryHash)>,
}

impl Story {
    fn begin() -> Self {
        let origin = Origin { founder: A.founder(), start: Incarnation([9; 16]), nonce: [8; 16] };
        let mut story = Self { origin, all: Vec::new() };
        story.write(A, Action::Create, &[]);
        let root = story.last();
        story.all[0].0.begins = vec![(A.founder(), origin.start, root, true)];
        story
    }

    fn last(&self) -> EntryHash {
        self.all.last().unwrap().1
    }

    fn write(&mut self, author: PrincipalId, action: Action, parents: &[EntryHash]) -> EntryHash {
        let id = EntryHash([u8::try_from(self.all.len()).unwrap() + 100; 32]);
        let operations = vec![Operation { id, author, parents: parents.to_vec(), action }];
        self.all.push((Fresh { operations, ..Fresh::default() }, id));
        id
    }

    fn then(&mut self, author: PrincipalId, action: Action) -> EntryHash {
        let last = self.last();
        self.write(author, action, &[last])
    }

    fn accept(&mut self, who: PrincipalId) -> EntryHash {
        let id = self.then(who, Action::Act { needs: Role::Reader });
        self.all.last_mut().unwrap().0.accepts = vec![(who, id)];
        id
    }

    /// The roster of all of it, in the order written or in the opposite one.
    fn roster(self, backwards: bool) -> Roster {
        let mut roster = Roster::new(self.origin);
        let mut all: Vec<Fresh> = self.all.into_iter().map(|(fresh, _)| fresh).collect();
        if backwards {
            all.reverse();
        }
        all.into_iter().for_each(|fresh| roster.extend(fresh));
        roster
    }
}

fn log(who: PrincipalId, start: u8) -> LogId {
    LogId { document: DocumentId::chat(1, 0), device: who.founder(), incarnation: Incarnation([start; 16]) }
}

fn add(who: PrincipalId, role: Role) -> Action {
    Action::Add { who, role }
}

#[test]
fn before_its_beginning_is_known_only_the_founder_is_heard_and_nobody_writes() {
    let roster = Roster::new(Story::begin().origin);
    assert!(!roster.is_known() && roster.is_named(&A.founder()) && !roster.is_named(&B.founder()));
    assert_eq!(roster.limit(&log(A, 1), &[]), Some(0));
    // Another's beginning is none.
    let mut story = Story::begin();
    story.all[0].0.begins[0].0 = B.founder();
    let roster = story.roster(false);
    assert!(!roster.is_known() && roster.members().is_empty());
}

#[test]
fn it_is_the_same_in_whatever_order_operations_come() {
    for backwards in [false, true] {
        let mut story = Story::begin();
        story.then(A, add(B, Role::Admin));
        story.accept(B);
        story.then(B, add(C, Role::Reader));
        // A reader adds nobody, and whom he names is not heard.
        story.then(C, add(D, Role::Member));
        let roster = story.roster(backwards);
        let roles: BTreeMap<_, _> = [(A, Role::Admin), (B, Role::Admin), (C, Role::Reader)].into();
        assert_eq!(*roster.members(), roles);
        assert!(roster.gives_history() && roster.is_named(&C.founder()) && !roster.is_named(&D.founder()));
        assert!(roster.has_come_in(&A) && roster.has_come_in(&B) && !roster.has_come_in(&C));
        assert_eq!(roster.limit(&log(B, 1), &[]), None);
        assert_eq!((roster.limit(&log(C, 1), &[]), roster.limit(&log(D, 1), &[])), (Some(0), Some(0)));
    }
}

#[test]
fn a_removal_cuts_and_whoever_comes_back_writes_in_new_logs() {
    let mut story = Story::begin();
    story.then(A, add(B, Role::Member));
    story.accept(B);
    let removal = story.then(A, Action::Remove { who: B, cut: Cut::from([(log(B, 1), 3)]) });
    let back = story.then(A, add(B, Role::Member));
    story.then(A, add(C, Role::Member));
    let after = story.accept(B);
    let roster = story.roster(false);
    assert!(roster.is_cut(&B.founder()) && !roster.is_cut(&C.founder()));
    assert_eq!(roster.limit(&log(B, 1), &[]), Some(3));
    assert_eq!(roster.limit(&log(B, 2), &[]), Some(0), "a log that the cut does not list");
    assert_eq!(roster.limit(&log(B, 2), &[removal]), Some(0));
    assert_eq!((roster.limit(&log(B, 2), &[back]), roster.limit(&log(B, 2), &[after])), (None, None));
    assert!(roster.has_come_in(&B) && roster.times_gone(&B) == 1);
    assert_eq!((roster.unseen(&C), roster.unseen(&A), roster.unseen(&B)), (vec![removal], vec![], vec![]));
}

#[test]
fn a_removal_that_proves_void_cuts_nothing() {
    let mut story = Story::begin();
    for who in [B, C] {
        story.then(A, add(who, Role::Admin));
    }
    let parting = story.last();
    // C removes B, and A, who is senior, removes C at the same time.
    story.write(C, Action::Remove { who: B, cut: Cut::new() }, &[parting]);
    story.write(A, Action::Remove { who: C, cut: Cut::from([(log(C, 1), 2)]) }, &[parting]);
    let roster = story.roster(false);
    assert_eq!((roster.limit(&log(B, 1), &[]), roster.limit(&log(C, 1), &[])), (None, Some(2)));
    assert_eq!(roster.role(&C), None);
    assert_eq!(roster.void().len(), 1);
}
