//! The rules by example: each rule of the table in ARCHITECTURE.md has its test here, of the same name. A, B, C … are
//! principals 0, 1, 2 …

use std::collections::BTreeMap;

use super::{add, by_number, id, op, p, remove, seen, set};
use crate::ids::{DeviceId, DocumentId, Incarnation, Kind, LogId, PrincipalId};
use crate::membership::{Action, Cut, Membership, Operation, Role, Verdict, Void};

use Role::{Admin, Member, Reader};

fn name(who: &PrincipalId) -> String {
    let n = who.0.first().map_or(0, |b| b - 1);
    char::from(b'A' + n).to_string()
}

fn group(ops: &[Operation]) -> Membership {
    let mut membership = Membership::new(id(0));
    membership.extend(ops.iter().rev().cloned());
    membership
}

/// A begins the group and adds B, C … one after the other, as operations 0 to `roles.len()`; then come `more`.
fn with(roles: &[Role], more: &[(u8, &[usize], Action)]) -> Vec<Operation> {
    let mut ops = vec![op(0, 0, &[], Action::Create)];
    for (n, role) in roles.iter().enumerate() {
        ops.push(op(n + 1, 0, &[n], add(n as u8 + 1, *role)));
    }
    for (author, parents, action) in more {
        ops.push(op(ops.len(), *author, parents, action.clone()));
    }
    ops
}

/// The members; admins with a star, readers with a dash.
fn who(m: &Membership) -> String {
    let one = |(n, role): &(u8, Role)| {
        let mark = match role {
            Admin => "*",
            Member => "",
            Reader => "-",
        };
        format!("{}{mark}", char::from(b'A' + n))
    };
    by_number(&m.members()).iter().map(one).collect::<Vec<_>>().join(" ")
}

fn says(m: &Membership, n: usize) -> String {
    m.explain(&id(n), &name).unwrap()
}

#[test]
fn only_who_is_entitled_by_what_he_knows_counts() {
    let m = group(&with(
        &[Member],
        &[
            (1, &[1], add(2, Member)),
            (3, &[1], Action::Leave),
            (0, &[1], add(1, Admin)),
            (0, &[4], set(1, Member)),
            (0, &[5], remove(4)),
            (0, &[6], remove(0)),
            (1, &[7], seen(6)),
            (0, &[8], Action::Create),
        ],
    ));
    assert_eq!(who(&m), "A* B");
    assert_eq!(says(&m, 1), "A added B as a member.");
    assert_eq!(says(&m, 2), "B's invitation of C did not count: it takes an admin, and B was a member.");
    assert_eq!(says(&m, 3), "D's leaving did not count: D was not in the group.");
    assert_eq!(says(&m, 4), "A's invitation of B did not count: B was in the group already.");
    assert_eq!(says(&m, 5), "A's making a member of B did not count: B had that role already.");
    assert_eq!(says(&m, 6), "A's removal of E did not count: E was not in the group.");
    assert_eq!(says(&m, 7), "A's removal of A did not count: nobody removes himself; one leaves.");
    assert_eq!(says(&m, 8), "B's word for the removal of E did not count: there is no such removal before it.");
    assert_eq!(says(&m, 9), "A's beginning of a group did not count: this group had begun already.");
}

#[test]
fn of_a_mutual_removal_the_senior_one_counts() {
    let m = group(&with(&[Admin, Admin], &[(2, &[2], remove(1)), (1, &[2], remove(2))]));
    assert_eq!(who(&m), "A* B*");
    assert_eq!(says(&m, 3), "C's removal of B did not count: B removed C at the same time, and B is senior.");
    assert_eq!(says(&m, 4), "B removed C.");
}

#[test]
fn what_a_removed_admin_did_at_the_same_time_is_void() {
    let m = group(&with(
        &[Admin, Admin],
        &[(2, &[2], add(3, Member)), (2, &[3], Action::Leave), (0, &[2], remove(2)), (1, &[4, 5], add(4, Member))],
    ));
    assert_eq!(who(&m), "A* B* E");
    assert_eq!(says(&m, 3), "C's invitation of D did not count: A removed C at the same time.");
    assert_eq!(says(&m, 4), "C's leaving did not count: A removed C at the same time.");
    assert_eq!(says(&m, 6), "B added E as a member.", "to have seen what is void is no fault");
}

#[test]
fn what_rests_on_a_void_grant_is_void() {
    // C adds D, who adds E; A has seen neither and removes C. B has added F, whom D has added too.
    let m = group(&with(
        &[Admin, Admin],
        &[
            (2, &[2], add(3, Admin)),
            (3, &[3], add(4, Member)),
            (3, &[4], add(5, Admin)),
            (1, &[2], add(5, Admin)),
            (5, &[5, 6], add(6, Member)),
            (0, &[2], remove(2)),
        ],
    ));
    assert_eq!(who(&m), "A* B* F* G");
    assert_eq!(says(&m, 4), "D's invitation of E did not count: C's invitation of D did not count.");
    assert_eq!(says(&m, 7), "F added G as a member.", "one of two grants is enough");
}

#[test]
fn a_demotion_makes_void_what_takes_the_lost_role() {
    let m = group(&with(
        &[Admin],
        &[(1, &[1], add(2, Member)), (0, &[1], set(1, Member)), (1, &[1], Action::Act { needs: Member })],
    ));
    assert_eq!(who(&m), "A* B");
    assert_eq!(
        says(&m, 2),
        "B's invitation of C did not count: A had made B a member at the same time.".replace(" had", "")
    );
    assert_eq!(says(&m, 4), "B changed something.");
}

#[test]
fn who_was_removed_after_all_has_done_nothing_since() {
    // B removes C. By what C knows that does not count, since A removed B at the same time; so C goes on. But D had
    // removed A, as C, E and F have seen, so A's removal of B is void, and B's of C is not.
    let m = group(&with(
        &[Admin, Admin, Admin, Member, Member],
        &[
            (0, &[5], remove(1)),
            (1, &[5], remove(2)),
            (2, &[6, 7], add(6, Member)),
            (3, &[5], remove(0)),
            (4, &[9], seen(9)),
            (5, &[9], seen(9)),
            (2, &[9], seen(9)),
        ],
    ));
    assert_eq!(who(&m), "B* D* E F");
    assert_eq!(says(&m, 6), "A's removal of B did not count: D had removed A first, as most members had seen.");
    assert_eq!(says(&m, 8), "C's invitation of G did not count: B had removed C first.");
}

#[test]
fn a_thief_with_the_founders_laptop_cannot_backdate_his_way_back() {
    // A's laptop is stolen. B removes A; C and D take that in. Then the thief, who has heard nothing of it, as he says,
    // removes B.
    let roles = [Admin, Member, Member];
    let removal: (u8, &[usize], Action) = (1, &[3], remove(0));
    let back: (u8, &[usize], Action) = (0, &[3], remove(1));
    let m = group(&with(&roles, &[removal.clone(), (2, &[4], seen(4)), (3, &[4], seen(4)), back.clone()]));
    assert_eq!(who(&m), "B* C D");
    assert_eq!(says(&m, 7), "A's removal of B did not count: B had removed A first, as most members had seen.");

    // Nor by somebody else, nor can he take others along.
    let m = group(&with(
        &roles,
        &[
            removal.clone(),
            (2, &[4], seen(4)),
            (3, &[4], seen(4)),
            (0, &[0], add(4, Admin)),
            (4, &[3, 7], remove(1)),
            (0, &[3], remove(2)),
        ],
    ));
    assert_eq!(who(&m), "B* C D");

    let m = group(&with(&roles, &[removal.clone(), (2, &[4], seen(4)), (0, &[3], remove(1))]));
    assert_eq!(who(&m), "A* C D", "one is not more than half");

    // Those who have seen both speak for neither.
    let m = group(&with(&roles, &[removal.clone(), back, (2, &[4, 5], seen(4)), (3, &[4, 5], seen(4))]));
    assert_eq!(who(&m), "A* C D");

    // What the thief did before, and they have seen, stands, whatever he makes up later.
    let m = group(&with(
        &[Admin, Member, Member, Member],
        &[
            (0, &[4], remove(2)),
            (1, &[4], remove(0)),
            (3, &[5, 6], seen(6)),
            (4, &[5, 6], seen(6)),
            (0, &[4], remove(1)),
        ],
    ));
    assert_eq!(who(&m), "B* D E");
}

#[test]
fn a_removal_beats_a_concurrent_add_and_who_comes_back_follows_it() {
    let m = group(&with(&[Admin, Member], &[(0, &[2], remove(2)), (1, &[3], add(2, Reader))]));
    assert_eq!(who(&m), "A* B* C-");

    // B removes C, adds it and removes it again; A, who knows of the first removal alone, adds C too.
    let m = group(&with(
        &[Admin, Member],
        &[(1, &[2], remove(2)), (1, &[3], add(2, Member)), (1, &[4], remove(2)), (0, &[3], add(2, Member))],
    ));
    assert_eq!(who(&m), "A* B*");
    assert_eq!(says(&m, 6), "A's invitation of C did not count: B removed C at the same time.");
}

#[test]
fn a_demotion_beats_a_concurrent_raise_and_of_two_raises_the_higher_holds() {
    let m = group(&with(&[Admin, Member], &[(0, &[2], set(2, Reader)), (1, &[2], set(2, Admin))]));
    assert_eq!(who(&m), "A* B* C-");
    assert_eq!(says(&m, 4), "B's making an admin of C did not count: A made C a reader at the same time.");
    let m = group(&with(&[Admin, Reader], &[(0, &[2], set(2, Member)), (1, &[2], set(2, Admin))]));
    assert_eq!(who(&m), "A* B* C*");
}

#[test]
fn a_raise_is_worth_nothing_without_an_add_that_it_follows() {
    // C adds D, whom B makes an admin. A removes C, so D was never in; then A takes D in, as a member.
    let mut ops = with(
        &[Admin, Admin],
        &[(2, &[2], add(3, Member)), (1, &[3], set(3, Admin)), (0, &[2], remove(2)), (0, &[4, 5], add(3, Member))],
    );
    assert_eq!(who(&group(&ops)), "A* B* D");
    // Nor when something else is heard of later.
    ops.push(op(7, 1, &[2], add(4, Member)));
    assert_eq!(who(&group(&ops)), "A* B* D E");
}

#[test]
fn a_cut_says_up_to_where_logs_count() {
    let log = |n: u8| LogId {
        document: DocumentId::singleton(Kind::Profile),
        device: DeviceId([3; 32]),
        incarnation: Incarnation([n; 16]),
    };
    let cut = |of: &[(u8, u64)]| -> Cut { of.iter().map(|(n, seq)| (log(*n), *seq)).collect::<BTreeMap<_, _>>() };
    let remove = |of: &[(u8, u64)]| Action::Remove { who: p(2), cut: cut(of) };
    // A and B remove C at the same time and have not heard the same of it; C comes back and is removed again.
    let m = group(&with(
        &[Admin, Member],
        &[
            (0, &[2], remove(&[(1, 10)])),
            (1, &[2], remove(&[(1, 12), (2, 1)])),
            (0, &[3, 4], add(2, Member)),
            (0, &[5], remove(&[(1, 12), (2, 1), (3, 7)])),
        ],
    ));
    let limits = m.limits(&p(2));
    assert_eq!(limits.of(&log(1), &[id(2)]), Some(12), "of several the furthest");
    assert_eq!(limits.of(&log(2), &[id(2)]), Some(1));
    assert_eq!(limits.of(&log(4), &[id(2)]), Some(0), "what is not listed counts as empty");
    assert_eq!(limits.of(&log(3), &[id(5)]), Some(7), "what began after C came back");
    assert_eq!(m.limits(&p(1)).of(&log(1), &[id(2)]), None);

    let m = group(&with(&[Admin, Member], &[(0, &[2], remove(&[(1, 10)])), (0, &[3], add(2, Member))]));
    assert_eq!(m.limits(&p(2)).of(&log(1), &[id(2)]), Some(10), "the old log stays cut");
    assert_eq!(m.limits(&p(2)).of(&log(2), &[id(4)]), None);

    // A removal that proves void cuts nothing; a demotion to reader cuts, and a raise lifts it for what begins after it.
    let read = Action::SetRole { who: p(2), role: Reader, cut: cut(&[(1, 5)]) };
    let m = group(&with(
        &[Admin, Member],
        &[(1, &[2], remove(&[])), (0, &[2], super::remove(1)), (0, &[4], read), (0, &[5], set(2, Member))],
    ));
    assert_eq!(m.limits(&p(2)).of(&log(1), &[id(2)]), Some(5));
    assert_eq!(m.limits(&p(2)).of(&log(2), &[id(6)]), None);
}

#[test]
fn the_last_admin_goes_as_soon_as_there_is_another() {
    let m = group(&with(&[Member], &[(0, &[1], Action::Leave), (0, &[2], set(0, Member))]));
    assert_eq!(who(&m), "A* B");
    assert_eq!(
        says(&m, 2),
        "A's leaving does not count yet: A is the last admin, and goes as soon as there is another."
    );
    assert_eq!(says(&m, 3), "A's becoming a member did not count: A waits already for another admin.");
    let m = group(&with(&[Member], &[(0, &[1], Action::Leave), (0, &[2], set(1, Admin))]));
    assert_eq!(who(&m), "B*");
    assert_eq!(says(&m, 2), "A left.");

    // Both admins leave at once: the senior goes.
    let m = group(&with(&[Admin], &[(1, &[1], Action::Leave), (0, &[1], Action::Leave)]));
    assert_eq!(who(&m), "B*");
    assert_eq!(m.verdict(&id(2)), Some(Verdict::Void(Void::LastAdmin)));
}

#[test]
fn no_removal_leaves_a_group_without_an_admin() {
    // F removes A, D removes F, E removes B. C removed F at the same time as F removed A, so by what A knows F's removal
    // of A does not count, and A goes on: he removes D and E. But B removed C, so C's removal of F is void, and each of
    // the six is removed by somebody who was entitled to it.
    let m = group(&with(
        &[Admin; 5],
        &[
            (2, &[5], remove(5)),
            (5, &[5], remove(0)),
            (3, &[7], remove(5)),
            (4, &[5], remove(1)),
            (0, &[6, 8, 9], remove(3)),
            (0, &[10], remove(4)),
            (1, &[5], remove(2)),
        ],
    ));
    assert_eq!(who(&m), "A*");
    assert_eq!(says(&m, 7), "F's removal of A did not count: no admin would be left.");
}

#[test]
fn what_does_not_follow_the_beginning_is_nothing_and_what_lacks_a_parent_waits() {
    let mut m = group(&with(&[Member], &[(1, &[9], Action::Leave)]));
    m.extend([op(7, 1, &[], add(1, Admin)), op(8, 1, &[7], Action::Create)]);
    assert_eq!(who(&m), "A* B");
    assert_eq!(m.missing(), [id(9)]);
    assert_eq!(m.verdict(&id(2)), None);
    assert_eq!(m.verdict(&id(8)), Some(Verdict::Void(Void::Detached)));
    assert_eq!(says(&m, 8), "An operation did not count: it does not follow the beginning of this group.");
    m.extend([op(9, 0, &[1], Action::Act { needs: Admin })]);
    assert_eq!(who(&m), "A*", "what waited counts once its parent is here");
    assert!(m.role_at(&[id(1)], &p(1)).unwrap().is_some(), "as of then");
    assert!(m.role_at(&[id(77)], &p(1)).is_err());
}
