//! The guard's rules, one hostile change each: it is void for the reason named, the index stays as it was, and the
//! document goes on. Every case starts from an honest change whose operations are exchanged.
use crate::world::{actor, check, content, document, reload};
use automerge::legacy::{ElementId, Key as RawKey, MarkData, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transactable;
use automerge::{Automerge, Change, ChangeHash, ExpandedChange, ObjType, ROOT, ReadDoc, ScalarValue};
use cairn_crdt::guard::{Action, Checked, Facts, Guard, Key, Refusal, limits};

/// One document by two authors. A wrote operations 1 to 17; B, who saw them, 18 to 21; A has not seen B's. The guard
/// knows all.
struct Scene {
    guard: Guard,
    a: Automerge,
    b: Automerge,
}

fn take(guard: &mut Guard, doc: &Automerge) {
    let change = doc.get_last_local_change().unwrap();
    let checked = check(guard, change.raw_bytes()).unwrap();
    guard.accept(&checked);
}

fn scene() -> Scene {
    let mut guard = Guard::new();
    let mut a = document(actor(1));
    let mut tx = a.transaction();
    let m = tx.put_object(ROOT, "m", ObjType::Map).unwrap(); // 1
    tx.put(&m, "k", 1).unwrap(); // 2
    let l = tx.put_object(ROOT, "l", ObjType::List).unwrap(); // 3
    tx.insert(&l, 0, 10).unwrap(); // 4
    tx.insert(&l, 1, 20).unwrap(); // 5
    let t = tx.put_object(ROOT, "t", ObjType::Text).unwrap(); // 6
    tx.splice_text(&t, 0, 0, "hello").unwrap(); // 7 to 11
    tx.put(ROOT, "n", ScalarValue::counter(5)).unwrap(); // 12
    tx.put(ROOT, "s", "str").unwrap(); // 13
    let l2 = tx.put_object(ROOT, "l2", ObjType::List).unwrap(); // 14
    tx.insert(&l2, 0, 1).unwrap(); // 15
    let t2 = tx.put_object(ROOT, "t2", ObjType::Text).unwrap(); // 16
    tx.splice_text(&t2, 0, 0, "x").unwrap(); // 17
    tx.commit();
    take(&mut guard, &a);
    let mut b = a.fork().with_actor(actor(2));
    let mut tx = b.transaction();
    let mb = tx.put_object(ROOT, "mb", ObjType::Map).unwrap(); // 18
    tx.put(&mb, "k", 1).unwrap(); // 19
    tx.splice_text(&t, 5, 0, "!").unwrap(); // 20
    tx.put(ROOT, "s", "other").unwrap(); // 21
    tx.commit();
    take(&mut guard, &b);
    Scene { guard, a, b }
}

impl Scene {
    /// A's next change, as it would be if it did one harmless thing.
    fn draft(&self) -> ExpandedChange {
        let mut a = self.a.clone();
        let mut tx = a.transaction();
        tx.put(ROOT, "z", 1).unwrap();
        tx.commit();
        a.get_last_local_change().unwrap().decode()
    }

    fn judge(&self, wide: ExpandedChange) -> Result<Checked, Refusal> {
        check(&self.guard, Change::from(wide).raw_bytes())
    }

    /// The verdict on A's next change with these operations.
    fn ops(&self, ops: Vec<Op>) -> Result<Checked, Refusal> {
        let mut wide = self.draft();
        wide.operations = ops;
        self.judge(wide)
    }

    fn passes(&self, ops: Vec<Op>) -> Checked {
        let checked = self.ops(ops).unwrap();
        let mut doc = self.b.clone();
        doc.apply_changes([checked.change.clone()]).unwrap();
        assert_eq!(content(&reload(&doc)), content(&doc));
        checked
    }
}

fn a(n: u64) -> OpId {
    OpId(n, actor(1))
}

fn b(n: u64) -> OpId {
    OpId(n, actor(2))
}

fn op(obj: Option<OpId>, key: RawKey, action: OpType, pred: &[OpId]) -> Op {
    let obj = obj.map_or(ObjectId::Root, ObjectId::Id);
    Op { action, obj, key, pred: pred.to_vec().into(), insert: false }
}

fn insert(obj: OpId, after: Option<OpId>, action: OpType) -> Op {
    let key = RawKey::Seq(after.map_or(ElementId::Head, ElementId::Id));
    Op { insert: true, ..op(Some(obj), key, action, &[]) }
}

fn key(k: &str) -> RawKey {
    RawKey::Map(k.into())
}

fn element(id: OpId) -> RawKey {
    RawKey::Seq(ElementId::Id(id))
}

fn put(v: impl Into<ScalarValue>) -> OpType {
    OpType::Put(v.into())
}

fn begin(name: &str) -> OpType {
    OpType::MarkBegin(MarkData { name: name.into(), value: true.into(), expand: false })
}

const END: OpType = OpType::MarkEnd(false);
const OUTSIDE: Refusal = Refusal::Mismatch("it names an operation outside its past");
const PLACE: Refusal = Refusal::Mismatch("a predecessor at another place");
const NO_PRED: Refusal = Refusal::Mismatch("an operation that needs a predecessor");
const TYPES: Refusal = Refusal::Mismatch("a key and an object of different types");
const ELSEWHERE: Refusal = Refusal::Mismatch("it names an element of another sequence");
const BROKEN_MARK: Refusal = Refusal::Forbidden("a mark whose end does not follow its beginning");
const WRONG_THERE: Refusal = Refusal::Forbidden("an action that does not belong there");
const IN_TEXT: Refusal = Refusal::Forbidden("an element of a text");
const OVER_TEXT: Refusal = Refusal::Forbidden("a value put over an element of a text");

/// Judges each case, then shows that none left a trace: honest authors go on, and all loads from a save.
fn void(cases: Vec<(&str, Vec<Op>, Refusal)>) {
    let mut scene = scene();
    for (name, ops, refusal) in cases {
        assert_eq!(scene.ops(ops).err(), Some(refusal), "{name}");
    }
    let mut b = scene.b.clone();
    scene.a.merge(&mut b).unwrap();
    let mut tx = scene.a.transaction();
    tx.put(ROOT, "after", true).unwrap();
    tx.commit();
    take(&mut scene.guard, &scene.a);
    assert_eq!(content(&reload(&scene.a)), content(&scene.a));
}

#[test]
fn what_a_change_names_lies_in_its_past() {
    let strange = OpId(1, actor(77));
    void(vec![
        ("an unknown object", vec![op(Some(a(900)), key("x"), put(1), &[])], OUTSIDE),
        ("an object of an unknown author", vec![op(Some(strange.clone()), key("x"), put(1), &[])], OUTSIDE),
        ("an object that the author has not seen", vec![op(Some(b(18)), key("x"), put(1), &[])], OUTSIDE),
        ("an object made later in the change", vec![op(Some(a(19)), key("x"), put(1), &[])], OUTSIDE),
        ("itself as an object", vec![op(Some(a(18)), key("x"), OpType::Make(ObjType::Map), &[])], OUTSIDE),
        (
            "a value as an object",
            vec![op(Some(a(2)), key("x"), put(1), &[])],
            Refusal::Mismatch("it names an object that is none"),
        ),
        ("an unknown element", vec![insert(a(6), Some(a(900)), put("x"))], OUTSIDE),
        ("an unseen element", vec![insert(a(6), Some(b(20)), put("x"))], OUTSIDE),
        ("an unknown predecessor", vec![op(None, key("s"), put(1), &[a(13), a(900)])], OUTSIDE),
        ("an unseen predecessor", vec![op(None, key("s"), put(1), &[a(13), b(21)])], OUTSIDE),
        ("an unknown author's predecessor", vec![op(None, key("q"), put(1), &[strange])], OUTSIDE),
    ]);
}

#[test]
fn places_fit_their_objects() {
    let mut in_map = op(Some(a(1)), key("x"), put(1), &[]);
    in_map.insert = true;
    let table = op(None, key("x"), OpType::Make(ObjType::Table), &[]);
    let unknown = put(ScalarValue::Unknown { type_code: 12, bytes: vec![1] });
    void(vec![
        ("a key in a list", vec![op(Some(a(3)), key("x"), put(1), &[])], TYPES),
        ("a key in a text", vec![op(Some(a(6)), key("x"), OpType::Delete, &[a(7)])], TYPES),
        ("an element in a map", vec![insert(a(1), None, put(1))], TYPES),
        ("an insert into a map", vec![in_map], Refusal::Mismatch("an insert into a map")),
        ("an element of another list", vec![insert(a(3), Some(a(15)), put(1))], ELSEWHERE),
        ("an update of another list's element", vec![op(Some(a(3)), element(a(15)), put(1), &[a(15)])], ELSEWHERE),
        ("an element that is none", vec![insert(a(3), Some(a(1)), put(1))], ELSEWHERE),
        (
            "an update of the head",
            vec![op(Some(a(3)), RawKey::Seq(ElementId::Head), put(1), &[a(4)])],
            Refusal::Mismatch("it changes the head of a sequence"),
        ),
        ("a table", vec![table], Refusal::Malformed("an action without meaning")),
        ("an unknown value", vec![op(None, key("x"), unknown, &[])], Refusal::Forbidden("an unknown type of value")),
        ("an empty key", vec![op(None, key(""), put(1), &[])], Refusal::Forbidden("an empty or long key")),
        ("a long key", vec![op(None, key(&"k".repeat(513)), put(1), &[])], Refusal::TooLarge("keys")),
    ]);
    scene().passes(vec![op(None, key(&"k".repeat(512)), put(1), &[])]);
}

#[test]
fn predecessors_stand_at_the_same_place() {
    let mut bad_insert = insert(a(3), Some(a(4)), put(1));
    bad_insert.pred = vec![a(4)].into();
    let twice = Refusal::Mismatch("it overwrites something twice");
    let own = Refusal::Mismatch("the author's own value is not among the predecessors");
    let no_counter = Refusal::Mismatch("an increment of what is no counter");
    void(vec![
        ("of another key", vec![op(None, key("q"), put(1), &[a(13)])], PLACE),
        ("of another map", vec![op(Some(a(1)), key("s"), put(1), &[a(13)])], PLACE),
        ("of another element", vec![op(Some(a(3)), element(a(4)), put(1), &[a(5)])], PLACE),
        ("a deletion", vec![op(None, key("s"), OpType::Delete, &[a(13)]), op(None, key("s"), put(1), &[a(18)])], PLACE),
        (
            "an increment",
            vec![op(None, key("n"), OpType::Increment(1), &[a(12)]), op(None, key("n"), put(1), &[a(12), a(18)])],
            PLACE,
        ),
        (
            "a mark",
            vec![
                insert(a(6), None, begin("b")),
                insert(a(6), Some(a(11)), END),
                op(Some(a(6)), element(a(18)), OpType::Delete, &[a(18)]),
            ],
            PLACE,
        ),
        ("of an insert", vec![bad_insert], Refusal::Mismatch("an insert that overwrites")),
        ("none of a deletion", vec![op(None, key("s"), OpType::Delete, &[])], NO_PRED),
        ("none of an increment", vec![op(None, key("n"), OpType::Increment(1), &[])], NO_PRED),
        ("none of an element's update", vec![op(Some(a(3)), element(a(4)), put(1), &[])], NO_PRED),
        ("a string of an increment", vec![op(None, key("s"), OpType::Increment(1), &[a(13)])], no_counter),
        (
            "one twice in an operation",
            vec![op(None, key("s"), put(1), &[a(13), a(13)])],
            Refusal::Malformed("predecessors out of order"),
        ),
        (
            "one twice in a change",
            vec![op(None, key("s"), put(1), &[a(13)]), op(None, key("s"), put(2), &[a(13), a(18)])],
            twice.clone(),
        ),
        (
            "deleted and counted on",
            vec![op(None, key("n"), OpType::Delete, &[a(12)]), op(None, key("n"), OpType::Increment(1), &[a(12)])],
            twice,
        ),
        ("not one's own", vec![op(None, key("s"), put(1), &[])], own.clone()),
        (
            "not one's own of the same change",
            vec![op(None, key("q"), put(1), &[]), op(None, key("q"), put(2), &[])],
            own,
        ),
    ]);
    let scene = scene();
    scene.passes(vec![op(None, key("s"), put(1), &[a(13)]), op(None, key("s"), put(2), &[a(18)])]);
    scene.passes(vec![op(None, key("s"), OpType::Delete, &[a(13)]), op(None, key("s"), put(2), &[])]);
    scene.passes(vec![
        op(None, key("n"), OpType::Increment(1), &[a(12)]),
        op(None, key("n"), OpType::Increment(1), &[a(12)]),
        op(None, key("n"), OpType::Delete, &[a(12)]),
    ]);
}

#[test]
fn texts_hold_text() {
    let long = "x".repeat(limits::MAX_ELEMENT + 1);
    let typed_and_put_over = vec![insert(a(6), None, put("x")), op(Some(a(6)), element(a(18)), put("y"), &[a(18)])];
    void(vec![
        ("a number", vec![insert(a(6), None, put(1))], IN_TEXT),
        ("an empty string", vec![insert(a(6), None, put(""))], IN_TEXT),
        ("a long string", vec![insert(a(6), None, put(long.as_str()))], IN_TEXT),
        ("an update to a long string", vec![op(Some(a(6)), element(a(7)), put(long.as_str()), &[a(7)])], IN_TEXT),
        ("an update", vec![op(Some(a(6)), element(a(7)), put("x"), &[a(7)])], OVER_TEXT),
        ("an update of what was typed just now", typed_and_put_over, OVER_TEXT),
        ("a counter", vec![insert(a(6), None, put(ScalarValue::counter(1)))], IN_TEXT),
        ("a list", vec![insert(a(6), None, OpType::Make(ObjType::List))], Refusal::Forbidden("a kind of object")),
        ("a text", vec![insert(a(6), None, OpType::Make(ObjType::Text))], Refusal::Forbidden("a kind of object")),
        (
            "a map over a character",
            vec![op(Some(a(6)), element(a(7)), OpType::Make(ObjType::Map), &[a(7)])],
            Refusal::Forbidden("a kind of object"),
        ),
        ("an increment", vec![op(Some(a(6)), element(a(7)), OpType::Increment(1), &[a(7)])], WRONG_THERE),
    ]);
    let scene = scene();
    scene.passes(vec![insert(a(6), None, put(&long[1..]))]);
    scene.passes(vec![insert(a(6), None, OpType::Make(ObjType::Map)), op(Some(a(18)), key("type"), put("p"), &[])]);
}

/// The reason why an element of a text is not put over: once two did it at once, an editor that replaces the element
/// by a block goes on with another text than it saves. Typed instead of put, all is well.
#[test]
fn a_conflict_within_a_text_splits_memory_from_disk() {
    let shown = |conflict: bool| {
        let Scene { guard, mut a, .. } = scene();
        let mut b = a.fork().with_actor(actor(3));
        let text = a.get(ROOT, "t").unwrap().unwrap().1;
        for (doc, word) in [(&mut a, "J"), (&mut b, "Y")] {
            let mut tx = doc.transaction();
            if conflict {
                tx.put(&text, 0, word).unwrap();
            } else {
                tx.splice_text(&text, 0, 1, word).unwrap();
            }
            tx.commit();
            let found = check(&guard, doc.get_last_local_change().unwrap().raw_bytes());
            assert_eq!(found.err(), conflict.then_some(OVER_TEXT), "a put is void, typing is not");
        }
        a.merge(&mut b).unwrap();
        let mut tx = a.transaction();
        tx.replace_block(&text, 0).unwrap();
        tx.commit();
        [content(&a), content(&reload(&a))]
    };
    let [memory, disk] = shown(false);
    assert_eq!(memory, disk);
    let [memory, disk] = shown(true);
    assert_ne!(memory, disk, "Automerge is mended: rule 10 can let a value be put over an element again");
}

#[test]
fn marks_end_after_they_begin() {
    let backwards = Refusal::Forbidden("a mark that ends before it begins");
    let many = |n: u64| {
        (0..n).flat_map(|_| [insert(a(6), None, begin("b")), insert(a(6), Some(a(11)), END)]).collect::<Vec<_>>()
    };
    void(vec![
        ("in a list", vec![insert(a(3), None, begin("b")), insert(a(3), Some(a(4)), END)], WRONG_THERE),
        ("in a map", vec![op(None, key("x"), begin("b"), &[])], WRONG_THERE),
        ("not inserted", vec![op(Some(a(6)), element(a(7)), begin("b"), &[a(7)])], WRONG_THERE),
        ("without an end", vec![insert(a(6), None, begin("b"))], Refusal::Forbidden("a mark without an end")),
        ("without a beginning", vec![insert(a(6), None, END)], BROKEN_MARK),
        ("begun twice", vec![insert(a(6), None, begin("b")), insert(a(6), None, begin("c"))], BROKEN_MARK),
        (
            "with something between",
            vec![insert(a(6), None, begin("b")), insert(a(6), Some(a(11)), put("x")), insert(a(6), Some(a(11)), END)],
            BROKEN_MARK,
        ),
        ("over two texts", vec![insert(a(6), None, begin("b")), insert(a(16), None, END)], BROKEN_MARK),
        (
            "at the same place",
            vec![insert(a(6), Some(a(8)), begin("b")), insert(a(6), Some(a(8)), END)],
            backwards.clone(),
        ),
        ("backwards", vec![insert(a(6), Some(a(10)), begin("b")), insert(a(6), Some(a(7)), END)], backwards.clone()),
        ("to the head", vec![insert(a(6), Some(a(10)), begin("b")), insert(a(6), None, END)], backwards),
        (
            "with an empty name",
            vec![insert(a(6), None, begin("")), insert(a(6), Some(a(7)), END)],
            Refusal::Forbidden("an empty or long name of a mark"),
        ),
        (
            "with a long name",
            vec![insert(a(6), None, begin(&"b".repeat(129))), insert(a(6), Some(a(7)), END)],
            Refusal::TooLarge("names of marks"),
        ),
        ("too many", many(201), Refusal::TooLarge("marks")),
    ]);
    let scene = scene();
    scene.passes(many(200));
    scene.passes(vec![insert(a(6), Some(a(8)), begin("b")), insert(a(6), Some(a(18)), END)]);
    // A later sibling comes first: an end after an element typed before "h" later on lies before it.
    scene.passes(vec![
        insert(a(6), None, put("A")),
        insert(a(6), Some(a(18)), begin("b")),
        insert(a(6), Some(a(7)), END),
    ]);
    let before =
        vec![insert(a(6), None, put("A")), insert(a(6), Some(a(7)), begin("b")), insert(a(6), Some(a(18)), END)];
    assert_eq!(scene.ops(before).err(), Some(Refusal::Forbidden("a mark that ends before it begins")));
}

#[test]
fn counters_stay_small() {
    let large = Refusal::TooLarge("a counter");
    let by = |n| vec![op(None, key("n"), OpType::Increment(n), &[a(12)])];
    let start = |n| vec![op(None, key("c"), put(ScalarValue::counter(n)), &[])];
    void(vec![
        ("an increment", by(limits::MAX_COUNT + 1), large.clone()),
        ("a decrement", by(-limits::MAX_COUNT - 1), large.clone()),
        ("the least", by(i64::MIN), large.clone()),
        ("a start", start(limits::MAX_COUNT + 1), large.clone()),
        ("the greatest start", start(i64::MAX), large.clone()),
        ("the least start", start(i64::MIN), large),
    ]);
    let scene = scene();
    scene.passes(by(limits::MAX_COUNT));
    scene.passes(start(-limits::MAX_COUNT));
}

#[test]
fn objects_nest_so_deep_and_no_deeper() {
    let nest = |depth: u64| {
        (0..depth)
            .map(|n| {
                let parent = n.checked_sub(1).map(|n| a(18 + n));
                op(parent, key("in"), OpType::Make(ObjType::Map), &[])
            })
            .collect::<Vec<_>>()
    };
    void(vec![("33 levels", nest(33), Refusal::TooLarge("depth"))]);
    let scene = scene();
    let checked = scene.passes(nest(32));
    assert_eq!(checked.ops.last().unwrap().path.len(), 32);
    // Nor in steps: the depth is known from change to change.
    let mut wide = scene.draft();
    let mut guard = scene.guard;
    guard.accept(&checked);
    wide.seq += 1;
    wide.start_op = (18 + 32).try_into().unwrap();
    wide.deps = vec![checked.change.hash()];
    wide.operations = vec![op(Some(a(18 + 31)), key("in"), OpType::Make(ObjType::List), &[])];
    assert_eq!(check(&guard, Change::from(wide.clone()).raw_bytes()).err(), Some(Refusal::TooLarge("depth")));
    wide.operations = vec![op(Some(a(18 + 31)), key("in"), put(1), &[])];
    assert!(check(&guard, Change::from(wide).raw_bytes()).is_ok());
}

#[test]
fn a_change_fits_its_entry_and_its_past() {
    let mut scene = scene();
    let draft = Change::from(scene.draft());
    let deps = draft.deps().to_vec();
    let me = actor(1);
    let facts = Facts { actor: me.to_bytes(), seq: 2, deps: &deps };
    let judge = |facts: &Facts<'_>, raw: &[u8]| scene.guard.check(facts, raw, &mut |_| true).err();
    assert_eq!(judge(&facts, draft.raw_bytes()), None);
    let signer = Refusal::Mismatch("the actor is not the signer's");
    assert_eq!(judge(&Facts { actor: actor(2).to_bytes(), ..facts }, draft.raw_bytes()), Some(signer));
    let seq = Refusal::Mismatch("the sequence number");
    assert_eq!(judge(&Facts { seq: 3, ..facts }, draft.raw_bytes()), Some(seq.clone()));
    let dependencies = Refusal::Mismatch("the dependencies");
    assert_eq!(judge(&Facts { deps: &[], ..facts }, draft.raw_bytes()), Some(dependencies.clone()));

    type Twist = fn(&mut ExpandedChange, ChangeHash);
    let twisted = |twist: Twist| {
        let mut wide = scene.draft();
        twist(&mut wide, scene.b.get_heads()[0]);
        scene.judge(wide).err()
    };
    assert_eq!(twisted(|_, _| ()), None);
    assert_eq!(twisted(|w, _| w.seq = 1), Some(seq.clone()), "a number used before");
    assert_eq!(twisted(|w, _| w.seq = 3), Some(seq), "a gap");
    let start = Some(Refusal::Mismatch("the number of the first operation"));
    assert_eq!(twisted(|w, _| w.start_op = 17.try_into().unwrap()), start);
    assert_eq!(twisted(|w, _| w.start_op = 19.try_into().unwrap()), start);
    assert_eq!(twisted(|w, _| w.start_op = (1 << 31).try_into().unwrap()), start);
    assert_eq!(twisted(|w, _| w.deps.push(ChangeHash([9; 32]))), Some(Refusal::Mismatch("a dependency is not known")));
    assert_eq!(twisted(|w, _| w.deps.push(w.deps[0])), Some(dependencies));
    assert_eq!(twisted(|w, b| w.deps.push(b)), start, "it would have to start after B's operations");
    let both: Twist = |w, b| {
        w.deps = vec![b];
        w.start_op = 22.try_into().unwrap();
    };
    assert_eq!(twisted(both), None, "B's change has A's in its past");
    let orphan: Twist = |w, _| {
        w.deps.clear();
        w.start_op = 1.try_into().unwrap();
    };
    let own = Some(Refusal::Mismatch("the author's previous change is not in its past"));
    assert_eq!(twisted(orphan), own);

    // Once A's second change is in, a third that only saw B's forgets it.
    let checked = check(&scene.guard, draft.raw_bytes()).unwrap();
    scene.guard.accept(&checked);
    let mut wide = scene.draft();
    wide.seq = 3;
    wide.deps = scene.b.get_heads();
    wide.start_op = 22.try_into().unwrap();
    assert_eq!(scene.judge(wide).err(), own);
    // A change taken in twice changes nothing.
    let before = scene.guard.len();
    scene.guard.accept(&checked);
    assert_eq!(scene.guard.len(), before);
    assert_eq!(scene.guard.written_by(actor(1).to_bytes()), (2, 18));
    assert!(scene.guard.knows(&draft.hash()));
}

/// The kind of a document is asked for each operation, and sees the whole way from the root.
#[test]
fn the_kind_sees_full_paths() {
    let scene = scene();
    let checked = scene.passes(
        vec![
            op(None, key("new"), OpType::Make(ObjType::Map), &[]),
            op(Some(a(18)), key("in"), put("deep"), &[]),
            op(Some(a(1)), key("k"), put(2), &[a(2)]),
            insert(a(3), Some(a(4)), OpType::Make(ObjType::Map)),
            op(Some(a(21)), key("x"), OpType::Delete, &[]),
        ][..4]
            .to_vec(),
    );
    let k = |s: &str| Key::Map(s.into());
    let seen: Vec<_> = checked.ops.iter().map(|o| (o.path.clone(), o.overwrites)).collect();
    assert_eq!(
        seen,
        vec![
            (vec![k("new")], false),
            (vec![k("new"), k("in")], false),
            (vec![k("m"), k("k")], true),
            (vec![k("l"), Key::Element], false),
        ]
    );
    assert_eq!(checked.ops[0].action, Action::MakeMap);
    assert_eq!(checked.ops[1].action, Action::Put("deep".into()));

    // Through earlier changes too, and a no makes the entry void.
    let Scene { mut guard, mut a, .. } = scene;
    let list = a.get(ROOT, "l").unwrap().unwrap().1;
    let mut tx = a.transaction();
    let inner = tx.insert_object(&list, 0, ObjType::Map).unwrap();
    tx.commit();
    take(&mut guard, &a);
    let mut tx = a.transaction();
    tx.put(&inner, "x", 1).unwrap();
    tx.commit();
    let raw = a.get_last_local_change().unwrap().raw_bytes().to_vec();
    let mut paths = Vec::new();
    let said = guard.check_own(&raw, &mut |o| {
        paths.push(o.path.clone());
        o.path.first() != Some(&k("l"))
    });
    assert_eq!(paths, vec![vec![k("l"), Key::Element, k("x")]]);
    assert_eq!(said.err(), Some(Refusal::Forbidden("the kind of document or the author's role says no")));
}
