//! What became of an operation, in words for people: one sentence each.

use super::{Action, Membership, Operation, Role, Verdict, Void};
use crate::ids::{EntryHash, PrincipalId};

impl Role {
    /// The word for it, with its article.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Reader => "a reader",
            Self::Member => "a member",
            Self::Admin => "an admin",
        }
    }
}

impl Membership {
    /// A sentence on what an operation did, or why it did not count; `name` says what people are called. `None` where it
    /// is not here, or waits for what is not here.
    #[must_use]
    pub fn explain(&self, id: &EntryHash, name: &dyn Fn(&PrincipalId) -> String) -> Option<String> {
        let verdict = self.verdict(id)?;
        let Some(op) = self.operation(id) else {
            return Some("An operation did not count: it does not follow the beginning of this group.".to_owned());
        };
        let say = Say { graph: self, name };
        Some(match verdict {
            Verdict::Counts => format!("{}.", say.done(op, false)),
            Verdict::Void(why) => {
                let not = if why == Void::LastAdmin { "does not count yet" } else { "did not count" };
                format!("{} {not}: {}.", say.noun(op), say.because(op, why))
            }
        })
    }
}

struct Say<'a> {
    graph: &'a Membership,
    name: &'a dyn Fn(&PrincipalId) -> String,
}

impl Say<'_> {
    fn because(&self, op: &Operation, why: Void) -> String {
        let author = (self.name)(&op.author);
        let target = op.action.target().map(|who| (self.name)(&who)).unwrap_or_default();
        match why {
            Void::Detached => "it does not follow the beginning of this group".to_owned(),
            Void::NotTheFirst => "this group had begun already".to_owned(),
            Void::NotAMember => format!("{author} was not in the group"),
            Void::Role { is, needs } => format!("it takes {}, and {author} was {}", needs.words(), is.words()),
            Void::AlreadyIn => format!("{target} was in the group already"),
            Void::NobodyThere => format!("{target} was not in the group"),
            Void::SameRole => format!("{target} had that role already"),
            Void::Oneself => "nobody removes himself; one leaves".to_owned(),
            Void::NothingSeen => "there is no such removal before it".to_owned(),
            Void::AuthorCut { by } | Void::TargetCut { by } => format!("{} at the same time", self.did(&by, false)),
            Void::AuthorGone { by } => format!("{} first", self.did(&by, true)),
            Void::Outranked { by } => {
                let senior = self.graph.operation(&by).map(|op| (self.name)(&op.author)).unwrap_or_default();
                format!("{} at the same time, and {senior} is senior", self.did(&by, false))
            }
            Void::Outvoted { by } => format!("{} first, as most members had seen", self.did(&by, true)),
            Void::GrantVoid { grant } => match self.graph.operation(&grant) {
                Some(op) => format!("{} did not count", self.noun(op)),
                None => "what it rests on did not count".to_owned(),
            },
            Void::AlreadyWaiting => format!("{author} waits already for another admin"),
            Void::LastAdmin => format!("{author} is the last admin, and goes as soon as there is another"),
            Void::NobodyLeft => "no admin would be left".to_owned(),
        }
    }

    /// Another operation as a sentence without its full stop.
    fn did(&self, id: &EntryHash, had: bool) -> String {
        self.graph.operation(id).map_or_else(|| "somebody did something".to_owned(), |op| self.done(op, had))
    }

    /// Whom the removal was about that somebody has seen.
    fn seen(&self, removal: &EntryHash) -> String {
        let who = self.graph.operation(removal).and_then(|op| op.action.target());
        who.map_or_else(|| "somebody".to_owned(), |who| (self.name)(&who))
    }

    /// An operation as the subject of a sentence.
    fn noun(&self, op: &Operation) -> String {
        let (name, author) = (self.name, (self.name)(&op.author));
        match &op.action {
            Action::Create => format!("{author}'s beginning of a group"),
            Action::Add { who, .. } => format!("{author}'s invitation of {}", name(who)),
            Action::Remove { who, .. } => format!("{author}'s removal of {}", name(who)),
            Action::SetRole { who, role, .. } if *who == op.author => format!("{author}'s becoming {}", role.words()),
            Action::SetRole { who, role, .. } => format!("{author}'s making {} of {}", role.words(), name(who)),
            Action::Leave => format!("{author}'s leaving"),
            Action::Seen { removal } => format!("{author}'s word for the removal of {}", self.seen(removal)),
            Action::Act { .. } => format!("{author}'s change"),
        }
    }

    /// An operation as a sentence without its full stop, `had` it been before something else.
    fn done(&self, op: &Operation, had: bool) -> String {
        let (name, author) = (self.name, (self.name)(&op.author));
        let author = if had { format!("{author} had") } else { author };
        match &op.action {
            Action::Create => format!("{author} {} the group", if had { "begun" } else { "began" }),
            Action::Add { who, role } => format!("{author} added {} as {}", name(who), role.words()),
            Action::Remove { who, .. } => format!("{author} removed {}", name(who)),
            Action::SetRole { who, role, .. } if *who == op.author => {
                format!("{author} {} {}", if had { "become" } else { "became" }, role.words())
            }
            Action::SetRole { who, role, .. } => format!("{author} made {} {}", name(who), role.words()),
            Action::Leave => format!("{author} left"),
            Action::Seen { removal } => {
                let took = if had { "taken" } else { "took" };
                format!("{author} {took} in the removal of {}", self.seen(removal))
            }
            Action::Act { .. } => format!("{author} changed something"),
        }
    }
}
