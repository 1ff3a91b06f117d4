//! The rules over a parsed change: what each operation names lies in the change's causal past, at the right place and
//! of the right type, and does nothing there that an honest editor does not do.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{ElementId, Key as RawKey, ObjectId, Op as RawOp, OpId, OpType};
use automerge::{ActorId, ExpandedChange, ObjType, ScalarValue};

use super::index::{Index, Kind, LOCAL, NONE, Op, Past, Rows};
use super::limits::{
    MAX_COUNT, MAX_DEPTH, MAX_ELEMENT, MAX_INDEXED, MAX_KEY, MAX_MARK_NAME, MAX_MARK_STEPS, MAX_MARKS,
};
use super::{Action, Key, OpView, Refusal};

type Res<T> = Result<T, Refusal>;

/// The object that an operation is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Object {
    number: u32,
    kind: Kind,
    level: u8,
}

const ROOT: Object = Object { number: NONE, kind: Kind::Map, level: 0 };

/// A place within an object, for the operations of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'c> {
    Key(&'c str),
    Element(u32),
}

/// A mark that was begun by the operation before.
#[derive(Debug, Clone, Copy)]
struct Begun {
    obj: u32,
    at: u32,
}

pub(super) struct Checker<'c> {
    index: &'c Index,
    me: Option<u32>,
    actor: &'c ActorId,
    start: u64,
    /// Foreign actors that were looked up in this change.
    authors: BTreeMap<&'c ActorId, u32>,
    past: Past,
    rows: Vec<Op>,
    views: Vec<OpView>,
    over: Vec<(u32, u32)>,
    /// What this change overwrote so far.
    gone: BTreeSet<u32>,
    /// This change's own last put or make at a place.
    own: BTreeMap<(u32, Place<'c>), u32>,
    /// The object of the last operation with its path: most operations of a change are in one object.
    last: Option<(&'c ObjectId, Object, Vec<Key>)>,
    begun: Option<Begun>,
    marks: usize,
    steps: u32,
}

impl<'c> Checker<'c> {
    /// A checker of `change`, whose dependencies make `past`.
    pub(super) fn new(index: &'c Index, change: &'c ExpandedChange, past: Past) -> Self {
        let ops = change.operations.len();
        Self {
            index,
            me: index.author(&change.actor_id),
            actor: &change.actor_id,
            start: change.start_op.get(),
            authors: BTreeMap::new(),
            past,
            rows: Vec::with_capacity(ops),
            views: Vec::with_capacity(ops),
            over: Vec::new(),
            gone: BTreeSet::new(),
            own: BTreeMap::new(),
            last: None,
            begun: None,
            marks: 0,
            steps: 0,
        }
    }

    /// Holds rules 7 to 13 and asks `may` for each operation.
    pub(super) fn run(
        mut self,
        change: &'c ExpandedChange,
        may: &mut dyn FnMut(&OpView) -> bool,
    ) -> Res<(Rows, Vec<OpView>)> {
        if self.index.len() + change.operations.len() >= MAX_INDEXED {
            return Err(Refusal::TooLarge("document"));
        }
        for op in &change.operations {
            let view = self.op(op)?;
            if !may(&view) {
                return Err(Refusal::Forbidden("the kind of document or the author's role says no"));
            }
            self.views.push(view);
        }
        if self.begun.is_some() {
            return Err(Refusal::Forbidden("a mark without an end"));
        }
        let rows = Rows {
            seq: u32::try_from(change.seq).map_err(|_| Refusal::TooLarge("sequence number"))?,
            start: u32::try_from(self.start).map_err(|_| Refusal::TooLarge("operation number"))?,
            past: self.past,
            ops: self.rows,
            over: self.over,
        };
        Ok((rows, self.views))
    }

    fn op(&mut self, op: &'c RawOp) -> Res<OpView> {
        let obj = self.object(&op.obj)?;
        let number = LOCAL | self.rows.len() as u32;
        let (kind, action) = action(&op.action, obj, op.insert)?;
        let place = self.place(obj, op)?;
        let level = if matches!(kind, Kind::Map | Kind::List | Kind::Text) {
            if obj.level >= MAX_DEPTH {
                return Err(Refusal::TooLarge("depth"));
            }
            obj.level + 1
        } else {
            0
        };
        self.preds(op, obj, place, kind, number)?;
        let (at, depth) = match place {
            Place::Element(e) if op.insert => (e, self.depth(e).saturating_add(1)),
            Place::Element(e) => (e, 0),
            Place::Key(_) => (NONE, 0),
        };
        self.rows.push(Op { obj: obj.number, place: at, depth, kind, insert: op.insert, level });
        if kind.stands() && !op.insert {
            self.own.insert((obj.number, place), number);
        }
        self.mark(&op.action, obj, number)?;
        let above: &[Key] = self.last.as_ref().map_or(&[], |l| &l.2);
        let mut path = Vec::with_capacity(above.len() + 1);
        path.extend_from_slice(above);
        path.push(match place {
            Place::Key(key) => Key::Map(key.to_owned()),
            Place::Element(_) => Key::Element,
        });
        Ok(OpView { path, action, overwrites: !op.pred.is_empty() })
    }

    /// The number of an operation that an operation names.
    fn find(&mut self, id: &'c OpId) -> Res<u32> {
        let stranger = Refusal::Mismatch("it names an operation outside its past");
        let counter = id.counter();
        if id.actor() == self.actor {
            if let Some(offset) = counter.checked_sub(self.start) {
                let before = usize::try_from(offset).is_ok_and(|o| o < self.rows.len());
                return if before { Ok(LOCAL | offset as u32) } else { Err(stranger) };
            }
            // All the author's own earlier changes are in the past.
            let found = self.me.and_then(|me| self.index.find(me, counter));
            return found.map(|f| f.0).ok_or(stranger);
        }
        let author = match self.authors.get(id.actor()) {
            Some(&a) => a,
            None => {
                let a = self.index.author(id.actor()).ok_or(stranger.clone())?;
                self.authors.insert(id.actor(), a);
                a
            }
        };
        match self.index.find(author, counter) {
            Some((number, seq)) if self.past.holds(self.index, author, seq) => Ok(number),
            _ => Err(stranger),
        }
    }

    fn row(&self, number: u32) -> Option<&Op> {
        if number & LOCAL != 0 { self.rows.get((number & !LOCAL) as usize) } else { self.index.op(number) }
    }

    fn object(&mut self, id: &'c ObjectId) -> Res<Object> {
        if let Some((last, obj, _)) = &self.last
            && *last == id
        {
            return Ok(*obj);
        }
        let (obj, path) = match id {
            ObjectId::Root => (ROOT, Vec::new()),
            ObjectId::Id(id) => {
                let number = self.find(id)?;
                let row = self.row(number).filter(|r| matches!(r.kind, Kind::Map | Kind::List | Kind::Text));
                let row = row.ok_or(Refusal::Mismatch("it names an object that is none"))?;
                let obj = Object { number, kind: row.kind, level: row.level };
                let path = if number & LOCAL != 0 {
                    self.views.get((number & !LOCAL) as usize).map(|v| v.path.clone()).unwrap_or_default()
                } else {
                    self.index.path(number)
                };
                (obj, path)
            }
        };
        self.last = Some((id, obj, path));
        Ok(obj)
    }

    /// Rule 8: a key in a map, in a sequence an element of that same sequence.
    fn place(&mut self, obj: Object, op: &'c RawOp) -> Res<Place<'c>> {
        match &op.key {
            RawKey::Map(key) if obj.kind == Kind::Map => {
                if op.insert {
                    return Err(Refusal::Mismatch("an insert into a map"));
                }
                if key.is_empty() || key.len() > MAX_KEY {
                    return Err(Refusal::Forbidden("an empty or long key"));
                }
                Ok(Place::Key(key.as_str()))
            }
            RawKey::Seq(element) if obj.kind.is_sequence() => match element {
                ElementId::Head if op.insert => Ok(Place::Element(NONE)),
                ElementId::Head => Err(Refusal::Mismatch("it changes the head of a sequence")),
                ElementId::Id(id) => {
                    let number = self.find(id)?;
                    match self.row(number) {
                        Some(row) if row.insert && row.obj == obj.number => Ok(Place::Element(number)),
                        _ => Err(Refusal::Mismatch("it names an element of another sequence")),
                    }
                }
            },
            _ => Err(Refusal::Mismatch("a key and an object of different types")),
        }
    }

    /// Rules 9 and 11: what the operation overwrites.
    fn preds(&mut self, op: &'c RawOp, obj: Object, place: Place<'c>, kind: Kind, number: u32) -> Res<()> {
        if op.insert {
            return if op.pred.is_empty() { Ok(()) } else { Err(Refusal::Mismatch("an insert that overwrites")) };
        }
        let needs = matches!(kind, Kind::Delete | Kind::Increment) || matches!(place, Place::Element(_));
        if needs && op.pred.is_empty() {
            return Err(Refusal::Mismatch("an operation that needs a predecessor"));
        }
        let own = if matches!(kind, Kind::Delete) { None } else { self.own_visible(obj, place) };
        let mut own_named = own.is_none();
        let mut counters = 0usize;
        let mut last: Option<&OpId> = None;
        for id in op.pred.iter() {
            if last.is_some_and(|last| last >= id) {
                return Err(Refusal::Malformed("predecessors out of order"));
            }
            last = Some(id);
            let pred = self.find(id)?;
            let row = *self.row(pred).ok_or(Refusal::Mismatch("a predecessor"))?;
            if !row.kind.stands() || row.obj != obj.number || !self.same_place(pred, &row, place) {
                return Err(Refusal::Mismatch("a predecessor at another place"));
            }
            if self.gone.contains(&pred) {
                return Err(Refusal::Mismatch("it overwrites something twice"));
            }
            // An increment leaves its counters standing and overwrites what conflicts with them.
            if kind == Kind::Increment && row.kind == Kind::Counter {
                counters += 1;
            } else {
                self.gone.insert(pred);
                self.over.push((pred, number));
            }
            own_named |= own == Some(pred);
        }
        if kind == Kind::Increment && counters == 0 {
            return Err(Refusal::Mismatch("an increment of what is no counter"));
        }
        if own_named { Ok(()) } else { Err(Refusal::Mismatch("the author's own value is not among the predecessors")) }
    }

    fn same_place(&self, pred: u32, row: &Op, place: Place<'c>) -> bool {
        match place {
            Place::Element(e) if row.insert => pred == e,
            Place::Element(e) => row.place == e,
            Place::Key(key) if pred & LOCAL != 0 => {
                let view = self.views.get((pred & !LOCAL) as usize);
                matches!(view.and_then(|v| v.path.last()), Some(Key::Map(k)) if k == key)
            }
            Place::Key(key) => self.index.key_number(key) == Some(row.place),
        }
    }

    /// The author's own value at a place that nothing in the past and this change has overwritten. Only the last can
    /// be: it had to overwrite those before it. (A delete need not name it: setting a conflict's winner again deletes
    /// the others.)
    fn own_visible(&self, obj: Object, place: Place<'c>) -> Option<u32> {
        let standing = |n: u32| !self.gone.contains(&n) && (n & LOCAL != 0 || !self.index.overwritten(n, &self.past));
        if let Some(&n) = self.own.get(&(obj.number, place)) {
            return Some(n).filter(|&n| standing(n));
        }
        let earlier = self.me.filter(|_| obj.number == NONE || obj.number & LOCAL == 0).and_then(|me| match place {
            Place::Key(key) => self.index.own_at(obj.number, self.index.key_number(key)?, me),
            Place::Element(e) => self.index.own_at(obj.number, e, me),
        });
        let found = earlier.or_else(|| match place {
            Place::Element(e) if self.is_own(e) && self.row(e).is_some_and(|r| r.kind.stands()) => Some(e),
            _ => None,
        });
        found.filter(|&n| standing(n))
    }

    fn is_own(&self, number: u32) -> bool {
        if number == NONE {
            return false;
        }
        number & LOCAL != 0 || self.me.is_some_and(|me| self.index.id(number).is_some_and(|(_, a, _)| a == me))
    }

    /// Rule 12: in texts only, a begin directly followed by its end, which comes later in the sequence.
    fn mark(&mut self, action: &OpType, obj: Object, number: u32) -> Res<()> {
        match (self.begun.take(), action) {
            (None, OpType::MarkBegin(data)) => {
                if data.name.is_empty() || data.name.len() > MAX_MARK_NAME {
                    return Err(Refusal::Forbidden("an empty or long name of a mark"));
                }
                self.marks += 1;
                if self.marks > MAX_MARKS {
                    return Err(Refusal::TooLarge("marks"));
                }
                self.begun = Some(Begun { obj: obj.number, at: number });
                Ok(())
            }
            (Some(begun), OpType::MarkEnd(_)) if begun.obj == obj.number => {
                if self.follows(begun.at, number)? {
                    Ok(())
                } else {
                    Err(Refusal::Forbidden("a mark that ends before it begins"))
                }
            }
            (None, action) if !matches!(action, OpType::MarkEnd(_)) => Ok(()),
            _ => Err(Refusal::Forbidden("a mark whose end does not follow its beginning")),
        }
    }

    fn depth(&self, element: u32) -> u32 {
        if element == NONE { 0 } else { self.row(element).map_or(0, |r| r.depth) }
    }

    /// Whether element `b` comes after element `a` of the same sequence: a parent comes before its children, and among
    /// siblings the larger id first.
    fn follows(&mut self, mut a: u32, mut b: u32) -> Res<bool> {
        let (mut a_depth, mut b_depth) = (self.depth(a), self.depth(b));
        let b_deeper = b_depth > a_depth;
        while a_depth > b_depth {
            a = self.parent(a)?;
            a_depth -= 1;
        }
        while b_depth > a_depth {
            b = self.parent(b)?;
            b_depth -= 1;
        }
        if a == b {
            return Ok(b_deeper);
        }
        loop {
            let (pa, pb) = (self.parent(a)?, self.parent(b)?);
            if pa == pb {
                return Ok(self.id(b) < self.id(a));
            }
            (a, b) = (pa, pb);
        }
    }

    fn parent(&mut self, element: u32) -> Res<u32> {
        self.steps += 1;
        if self.steps > MAX_MARK_STEPS {
            return Err(Refusal::TooLarge("marks over a long text"));
        }
        self.row(element).map(|r| r.place).ok_or(Refusal::Mismatch("an element"))
    }

    fn id(&self, number: u32) -> Option<(u64, &ActorId)> {
        if number & LOCAL != 0 {
            return Some((self.start + u64::from(number & !LOCAL), self.actor));
        }
        let (counter, author, _) = self.index.id(number)?;
        Some((u64::from(counter), self.index.actor(author)?))
    }
}

/// Rules 8, 10 and 13: what an action may be in a kind of object.
fn action(action: &OpType, obj: Object, insert: bool) -> Res<(Kind, Action)> {
    let text = obj.kind == Kind::Text;
    Ok(match action {
        OpType::Make(ObjType::Map) if !text || insert => (Kind::Map, Action::MakeMap),
        OpType::Make(ObjType::List) if !text => (Kind::List, Action::MakeList),
        OpType::Make(ObjType::Text) if !text => (Kind::Text, Action::MakeText),
        OpType::Make(_) => return Err(Refusal::Forbidden("a kind of object")),
        OpType::Put(value) => {
            if text && !matches!(value, ScalarValue::Str(s) if !s.is_empty() && s.len() <= MAX_ELEMENT) {
                return Err(Refusal::Forbidden("an element of a text"));
            }
            let kind = if matches!(value, ScalarValue::Counter(_)) { Kind::Counter } else { Kind::Value };
            // Two who put over one element at once make a conflict there. Automerge's `join_block` and `replace_block`
            // delete only its winner, and their document then lacks the loser, which every other copy shows.
            if text && !insert {
                return Err(Refusal::Forbidden("a value put over an element of a text"));
            }
            scalar(value)?;
            (kind, Action::Put(value.clone()))
        }
        OpType::Delete if !insert => (Kind::Delete, Action::Delete),
        OpType::Increment(by) if !insert && !text => {
            magnitude(*by)?;
            (Kind::Increment, Action::Increment(*by))
        }
        OpType::MarkBegin(data) if text && insert => {
            scalar(&data.value)?;
            (Kind::Mark, Action::Mark)
        }
        OpType::MarkEnd(_) if text && insert => (Kind::Mark, Action::Mark),
        OpType::Delete | OpType::Increment(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => {
            return Err(Refusal::Forbidden("an action that does not belong there"));
        }
    })
}

fn scalar(value: &ScalarValue) -> Res<()> {
    match value {
        ScalarValue::Unknown { .. } => Err(Refusal::Forbidden("an unknown type of value")),
        ScalarValue::Counter(c) => magnitude(i64::from(c)),
        _ => Ok(()),
    }
}

fn magnitude(n: i64) -> Res<()> {
    if n.unsigned_abs() <= MAX_COUNT.unsigned_abs() { Ok(()) } else { Err(Refusal::TooLarge("a counter")) }
}
