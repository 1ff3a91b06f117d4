//! Groups in the running node: what people do with them, what follows from what their control logs say, and invitations,
//! which lie in the direct space of the two, signed, so that they wait for whoever is away.

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, LogId, SpaceId};
use cairn_crdt::kinds::control::group::{is_group_name, is_topic};
use cairn_crdt::kinds::control::{GroupOperation, Invitation, Invited, Operation, Origin};
use cairn_crdt::membership::Cut;

mod show;

use super::DocumentsState;
use super::commits::{After, Asked, Ticket, store_error};
use super::requests::bad_name;
use super::trust::no_peer;
use crate::api::{ApiError, Event, Group, GroupCommand, GroupInvitation, GroupLine, GroupState, Role};
use crate::handle::Reply;
use crate::limits::{GROUP_MEMBERS, GROUPS};
use crate::space::{GroupRow, Space, SpaceKind};
use show::not_a_member;
pub(crate) use show::{invitations, lines, no_writing, shown};

/// An invitation that people were told of: by whom, into what, when.
pub(super) type Told = (DeviceId, SpaceId, Hlc);

fn no_group() -> ApiError {
    ApiError::new("no_such_group", "there is no such group here")
}

fn no_invitation() -> ApiError {
    ApiError::new("no_such_invitation", "no invitation into that group waits for an answer")
}

impl DocumentsState {
    fn group_space(&self, group: SpaceId) -> Result<&Space, ApiError> {
        self.spaces.get(&group).filter(|sp| matches!(sp.kind, SpaceKind::Group(_))).ok_or_else(no_group)
    }

    /// What a group is now.
    pub(super) fn group_shown(&self, group: SpaceId) -> Result<Group, ApiError> {
        self.group_space(group).map(|sp| shown(sp, &self.wiring))
    }

    pub(super) fn groups_shown(&self) -> Vec<Group> {
        let groups = self.spaces.values().filter(|sp| matches!(sp.kind, SpaceKind::Group(_)));
        let mut all: Vec<_> = groups.map(|sp| shown(sp, &self.wiring)).collect();
        all.sort_by_cached_key(|group| (group.name.to_lowercase(), group.id));
        all
    }

    pub(super) fn invitations(&self) -> Vec<GroupInvitation> {
        invitations(|| self.spaces.values(), &self.wiring)
    }

    pub(super) fn group_log(&self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        lines(self.group_space(group)?, &self.wiring).map_err(|e| store_error(&e))
    }

    /// Does what somebody asks for; answers once it is durable.
    pub(super) fn group_command(&mut self, command: GroupCommand, reply: Reply<Group>) {
        let mut reply = Some(reply);
        let done = match command {
            GroupCommand::Create { name, history } => self.create_group(&name, history, &mut reply),
            GroupCommand::Invite { group, who, role } => self.invite(group, who, role, &mut reply),
            GroupCommand::Accept { group } => self.accept(group, &mut reply),
            GroupCommand::Decline { group } => self.decline(group, &mut reply),
            GroupCommand::Remove { group, who } => self.remove(group, who, &mut reply),
            GroupCommand::SetRole { group, who, role } => self.set_role(group, who, role, &mut reply),
            GroupCommand::Leave { group } => self.leave(group, &mut reply),
            GroupCommand::Describe { group, name, topic } => self.describe(group, name, topic, &mut reply),
        };
        // Where it was taken, whoever carries it out answers, errors too.
        if let (Err(e), Some(reply)) = (done, reply) {
            let _ = reply.send(Err(e));
        }
    }

    /// Writes an operation of a group; whoever asked hears what the group is once it is durable.
    fn operate(
        &mut self,
        group: SpaceId,
        what: GroupOperation,
        reply: &mut Option<Reply<Group>>,
    ) -> Result<(), ApiError> {
        let asked = reply.take().map_or(Asked::Nobody, |reply| Asked::Group(group, reply));
        self.write_control(group, &Operation::Group(what), asked)
    }

    fn create_group(&mut self, name: &str, history: bool, reply: &mut Option<Reply<Group>>) -> Result<(), ApiError> {
        let name = name.trim();
        if !is_group_name(name) {
            return Err(bad_name());
        }
        self.has_room_for_group()?;
        let wiring = self.wiring.clone();
        let origin = Origin { founder: wiring.me, start: wiring.pen(), nonce: wiring.env.random() };
        let group = origin.space();
        self.open_space(group, SpaceKind::Group(origin));
        let sp = self.spaces.get_mut(&group).ok_or_else(no_group)?;
        sp.set_group_row(GroupRow { name: name.to_owned(), wants: true, ..GroupRow::new(origin, None) });
        self.operate(group, GroupOperation::Create { name: name.to_owned(), history }, reply)
    }

    fn has_room_for_group(&self) -> Result<(), ApiError> {
        let groups = self.spaces.values().filter(|sp| matches!(sp.kind, SpaceKind::Group(_))).count();
        if groups >= GROUPS {
            return Err(ApiError::new("too_many", format!("this device is in {GROUPS} groups, and no more")));
        }
        Ok(())
    }

    /// Whether this device may say who belongs to a group; elsewhere it may.
    pub(super) fn check_admin(&self, space: SpaceId) -> Result<(), ApiError> {
        let Some(sp) = self.spaces.get(&space) else { return Err(no_group()) };
        let Some(roster) = sp.roster() else { return Ok(()) };
        match roster.role(&self.wiring.me.principal()).filter(|_| sp.am_in()).map(Role::from) {
            None => Err(not_a_member(sp.group_name())),
            Some(Role::Admin) => Ok(()),
            Some(_) => Err(ApiError::new(
                "not_an_admin",
                format!("that takes an admin of {}, and you are none", sp.group_name()),
            )),
        }
    }

    fn invite(
        &mut self,
        group: SpaceId,
        who: DeviceId,
        role: Role,
        reply: &mut Option<Reply<Group>>,
    ) -> Result<(), ApiError> {
        self.check_admin(group)?;
        if who == self.wiring.me {
            return Err(ApiError::new("oneself", "you are in the group already"));
        }
        self.wiring.people.peer(&who).ok_or_else(no_peer)?;
        let sp = self.group_space(group)?;
        let roster = sp.roster().ok_or_else(no_group)?;
        let (known, inside) = (roster.role(&who.principal()), roster.has_come_in(&who.principal()));
        if inside {
            let sentence = format!("{} is in the group already", self.wiring.name_of(&who));
            return Err(ApiError::new("already_a_member", sentence));
        }
        if roster.members().len() >= GROUP_MEMBERS {
            return Err(ApiError::new("too_many", format!("a group has {GROUP_MEMBERS} members at most")));
        }
        let (origin, name) = (roster.origin(), sp.group_name().to_owned());
        if known.is_none() {
            self.operate(group, GroupOperation::Add { who: who.principal(), role: role.into() }, &mut None)?;
        } else if known != Some(role.into()) {
            let what = GroupOperation::SetRole { who: who.principal(), role: role.into(), cut: Cut::new() };
            self.operate(group, what, &mut None)?;
        }
        let direct = self.direct(who);
        let invitation = Operation::Invite(Invitation { origin, name, role: role.into() });
        let asked = reply.take().map_or(Asked::Nobody, |reply| Asked::Group(group, reply));
        self.write_control(direct, &invitation, asked)
    }

    /// The invitation into a group that waits for an answer, and whose it is.
    fn waiting_invitation(&self, group: SpaceId) -> Result<(DeviceId, Invited), ApiError> {
        let me = self.wiring.me;
        let open = self.spaces.values().flat_map(|sp| sp.invited().collect::<Vec<_>>());
        let mut open = open.filter(|(by, one)| *by != me && one.open && one.invitation.origin.space() == group);
        let first = open.next().ok_or_else(no_invitation)?;
        match self.spaces.get(&group) {
            Some(sp) if sp.wants_in() && !sp.is_told_out() => Err(no_invitation()),
            _ => Ok(first),
        }
    }

    fn accept(&mut self, group: SpaceId, reply: &mut Option<Reply<Group>>) -> Result<(), ApiError> {
        let (by, one) = self.waiting_invitation(group)?;
        let origin = one.invitation.origin;
        if !self.spaces.contains_key(&group) {
            self.has_room_for_group()?;
            self.open_space(group, SpaceKind::Group(origin));
        }
        let sp = self.spaces.get_mut(&group).ok_or_else(no_group)?;
        let name = if sp.group_name().is_empty() { one.invitation.name } else { sp.group_name().to_owned() };
        let goings = sp.times_gone();
        let row = GroupRow { name, wants: true, goings, since: one.at, ..GroupRow::new(origin, Some(by)) };
        let write = row.write();
        sp.set_group_row(row);
        sp.dirty = true;
        let shown = shown(sp, &self.wiring);
        let after = reply.take().map(|reply| After::reply(reply, shown));
        self.commit(Vec::from_iter(write), Ticket::Small(after));
        self.rostered(group, false);
        Ok(())
    }

    fn decline(&mut self, group: SpaceId, reply: &mut Option<Reply<Group>>) -> Result<(), ApiError> {
        let (by, one) = self.waiting_invitation(group)?;
        let shown = Group {
            id: group,
            name: one.invitation.name,
            topic: String::new(),
            epoch: None,
            history: false,
            state: GroupState::Declined,
            role: None,
            members: Vec::new(),
        };
        let direct = self.direct(by);
        let declined = self.write_control(direct, &Operation::Decline { group }, Asked::Nobody);
        declined?;
        // Behind the entry: the writer keeps the order.
        let after = reply.take().map(|reply| After::reply(reply, shown));
        self.commit(Vec::new(), Ticket::Small(after));
        Ok(())
    }

    fn remove(&mut self, group: SpaceId, who: DeviceId, reply: &mut Option<Reply<Group>>) -> Result<(), ApiError> {
        self.check_admin(group)?;
        if who == self.wiring.me {
            return Err(ApiError::new("oneself", "nobody removes himself: leave the group instead"));
        }
        self.check_member(group, who)?;
        let cut = self.group_space(group)?.cut_of(&who);
        self.operate(group, GroupOperation::Remove { who: who.principal(), cut }, reply)?;
        // The group says nothing to whoever is in it no more: that is said in the chat of the two.
        let direct = self.direct(who);
        self.write_control(direct, &Operation::Withdraw { group }, Asked::Nobody)
    }

    fn check_member(&self, group: SpaceId, who: DeviceId) -> Result<(), ApiError> {
        let sp = self.group_space(group)?;
        if sp.roster().and_then(|roster| roster.role(&who.principal())).is_none() {
            let sentence = format!("{} is not in the group {}", self.wiring.name_of(&who), sp.group_name());
            return Err(ApiError::new("not_a_member", sentence));
        }
        Ok(())
    }

    /// Whether somebody is the only admin.
    fn is_last_admin(&self, group: SpaceId, who: DeviceId) -> bool {
        let roster = self.spaces.get(&group).and_then(Space::roster);
        let admins = roster.into_iter().flat_map(|r| r.members()).filter(|(_, role)| Role::from(**role) == Role::Admin);
        admins.map(|(who, _)| who.founder()).eq([who])
    }

    fn set_role(
        &mut self,
        group: SpaceId,
        who: DeviceId,
        role: Role,
        reply: &mut Option<Reply<Group>>,
    ) -> Result<(), ApiError> {
        self.check_admin(group)?;
        self.check_member(group, who)?;
        if role < Role::Admin && self.is_last_admin(group, who) {
            return Err(last_admin());
        }
        let sp = self.group_space(group)?;
        if sp.roster().and_then(|roster| roster.role(&who.principal())).map(Role::from) == Some(role) {
            return reply.take().map_or(Ok(()), |reply| {
                let _ = reply.send(self.group_shown(group));
                Ok(())
            });
        }
        let cut = if role == Role::Reader { sp.cut_of(&who) } else { Cut::new() };
        self.operate(group, GroupOperation::SetRole { who: who.principal(), role: role.into(), cut }, reply)
    }

    fn leave(&mut self, group: SpaceId, reply: &mut Option<Reply<Group>>) -> Result<(), ApiError> {
        let me = self.wiring.me;
        let sp = self.group_space(group)?;
        let others = sp.roster().map_or(0, |roster| roster.members().keys().filter(|who| who.founder() != me).count());
        if sp.am_in() && others > 0 {
            if self.is_last_admin(group, me) {
                return Err(last_admin());
            }
            return self.operate(group, GroupOperation::Leave, reply);
        }
        if !sp.wants_in() {
            return Err(not_a_member(sp.group_name()));
        }
        // Nobody else is there to hear it, or the group is not known here yet.
        self.goes(group, reply.take());
        Ok(())
    }

    /// This device is in a group no more, or comes into it no more.
    fn goes(&mut self, group: SpaceId, reply: Option<Reply<Group>>) {
        let Some(sp) = self.spaces.get_mut(&group) else { return };
        let Some(row) = sp.group_row().cloned() else { return };
        let row = GroupRow { wants: false, goings: sp.times_gone(), ..row };
        let write = row.write();
        sp.set_group_row(row);
        sp.dirty = true;
        let shown = shown(sp, &self.wiring);
        self.wiring.emit(Event::Group(Box::new(shown.clone())));
        self.commit(Vec::from_iter(write), Ticket::Small(reply.map(|reply| After::reply(reply, shown))));
        self.share_again();
    }

    fn describe(
        &mut self,
        group: SpaceId,
        name: Option<String>,
        topic: Option<String>,
        reply: &mut Option<Reply<Group>>,
    ) -> Result<(), ApiError> {
        self.check_admin(group)?;
        let sp = self.group_space(group)?;
        let name = name.map_or_else(|| sp.group_name().to_owned(), |name| name.trim().to_owned());
        let topic = topic.map_or_else(|| sp.topic().to_owned(), |topic| topic.trim().to_owned());
        if !is_group_name(&name) {
            return Err(bad_name());
        }
        if !is_topic(&topic) {
            return Err(ApiError::new("too_long", "a topic has at most 256 bytes, in one line"));
        }
        self.operate(group, GroupOperation::Info { name, topic }, reply)
    }

    /// After a start: what an earlier one left undone.
    pub(super) fn resume_groups(&mut self) {
        for group in self.spaces.keys().copied().collect::<Vec<_>>() {
            self.rostered(group, false);
        }
        self.look_who_is_out(None);
        let told = self.open_invitations();
        self.invited.extend(told.into_iter().map(|(told, _)| told));
    }

    /// Looks again which groups this device is in no more: what says so may have come while more was on its way.
    pub(super) fn look_at_goings(&mut self) {
        let gone = self.spaces.iter().filter(|(_, sp)| sp.has_gone_since()).map(|(id, _)| *id);
        for group in gone.collect::<Vec<_>>() {
            self.rostered(group, false);
        }
    }

    /// The control log of a group said something: does what follows from it. `mine`: this device wrote it.
    pub(super) fn rostered(&mut self, group: SpaceId, mine: bool) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&group).filter(|sp| matches!(sp.kind, SpaceKind::Group(_))) else { return };
        let turned = match sp.turn(&wiring) {
            Ok(turned) => turned,
            Err(e) => return wiring.trouble("store_read", Some(e.to_string())),
        };
        let moved = !turned.cut.is_empty() || !turned.back.is_empty();
        for (log, writes) in turned.cut {
            self.commit(writes, Ticket::Cut(group, log));
        }
        let received = wiring.env.now_ms();
        for (entries, mut writes) in turned.back {
            writes.extend(entries.iter().map(|entry| crate::store::Write::Append { entry: entry.clone(), received }));
            self.commit(writes, Ticket::Entries { space: group, from: None, live: true, entries, _permit: None });
        }
        let Some(sp) = self.spaces.get_mut(&group) else { return };
        // What takes it in again may be on its way.
        if sp.has_gone_since() && !sp.sync.is_fetching() {
            let left = sp.group_name().to_owned();
            self.goes(group, None);
            if !mine {
                self.wiring.notice("group_left", format!("You are not in the group {left} any more."));
            }
        }
        let Some(sp) = self.spaces.get_mut(&group) else { return };
        let due = sp.group_due(&wiring);
        let renamed = sp.group_row().filter(|row| row.name != sp.group_name()).cloned();
        if let Some(row) = renamed {
            let row = GroupRow { name: sp.group_name().to_owned(), ..row };
            let write = row.write();
            sp.set_group_row(row);
            sp.dirty = true;
            self.commit_small(Vec::from_iter(write));
        }
        self.write_keys(group, due);
        self.look_who_is_out(None);
        self.share_again();
        if let Some(sp) = self.spaces.get_mut(&group) {
            sp.sync.roster_changed(moved);
        }
        self.carry_out(group, None);
        if mine && self.spaces.get(&group).is_some_and(Space::am_in) {
            // Whoever changed the members makes the key for those of now.
            self.prepare_key(group);
        }
        if let Some(sp) = self.spaces.get(&group) {
            self.wiring.emit(Event::Group(Box::new(shown(sp, &self.wiring))));
        }
    }

    /// Shares with everybody who is here what is to be shared by now.
    fn share_again(&mut self) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.share(peer);
        }
    }

    /// A cut is durable: what was read of the log is read anew.
    pub(super) fn cut_done(&mut self, group: SpaceId, log: &LogId) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&group) else { return };
        if let Err(e) = sp.read_anew(log, &wiring) {
            wiring.trouble("store_read", Some(e.to_string()));
        }
        self.recount(group);
        self.wiring.emit(Event::Messages { conversation: group, count: 0 });
    }

    /// What this device wrote as this start counts no more in a group: it goes on as another one.
    pub(super) fn renew_cut_pen(&mut self, group: SpaceId) {
        let wiring = self.wiring.clone();
        if self.spaces.get(&group).is_some_and(|sp| sp.needs_new_pen(&wiring)) {
            let write = wiring.renew_pen();
            self.commit_small(vec![write]);
            self.own.renew(wiring.pen());
            self.spaces.values_mut().for_each(Space::drop_pens);
        }
    }

    /// Every invitation that waits, as it is told.
    fn open_invitations(&self) -> Vec<(Told, GroupInvitation)> {
        let all = self.invitations().into_iter();
        all.map(|one| ((one.from, one.group, Hlc::from_ms(one.sent)), one)).collect()
    }

    /// The control log of a direct space said something: tells of invitations, and takes back those that were declined.
    pub(super) fn look_for_invitations(&mut self, space: SpaceId) {
        let Some(SpaceKind::Direct(peer)) = self.spaces.get(&space).map(|sp| sp.kind) else { return };
        let open = self.open_invitations();
        // Those that hold no more may be told again.
        self.invited.retain(|told| open.iter().any(|(known, _)| known == told));
        for (told, one) in open.into_iter().filter(|((from, ..), _)| *from == peer) {
            if self.invited.insert(told) {
                let sentence = format!("{} invites you into the group {}.", one.from_name, one.name);
                self.wiring.notice_about(&peer, "invitation", sentence);
                self.wiring.emit(Event::Invitation(Box::new(one)));
            }
        }
        self.look_who_is_out(Some(peer));
        for group in self.declined_by(space, peer) {
            let name = self.group_space(group).map(|sp| sp.group_name().to_owned()).unwrap_or_default();
            let what = GroupOperation::Remove { who: peer.principal(), cut: Cut::new() };
            if self.operate(group, what, &mut None).is_ok() {
                let sentence = format!("{} does not come into the group {name}.", self.wiring.name_of(&peer));
                self.wiring.notice_about(&peer, "declined", sentence);
            }
        }
    }

    /// Looks of which groups an admin said to this device that it was removed; `from`: who said something now.
    fn look_who_is_out(&mut self, from: Option<DeviceId>) {
        let groups: Vec<_> = self.spaces.iter().filter(|(_, sp)| sp.am_in()).map(|(id, _)| *id).collect();
        for group in groups {
            let Some(sp) = self.spaces.get(&group) else { continue };
            let since = sp.group_row().map(|row| row.since).unwrap_or_default();
            let admins =
                sp.roster().into_iter().flat_map(|r| r.members()).filter(|(_, r)| Role::from(**r) == Role::Admin);
            let mut admins = admins.map(|(who, _)| who.founder()).filter(|who| *who != self.wiring.me);
            let said = |by: &DeviceId| {
                let direct = SpaceId::direct(&self.wiring.me.principal(), &by.principal());
                self.spaces.get(&direct).and_then(|sp| sp.withdrawn(by, &group)).is_some_and(|at| at > since)
            };
            let by = admins.find(said);
            let name = sp.group_name().to_owned();
            let Some(sp) = self.spaces.get_mut(&group) else { continue };
            if !sp.set_told_out(by) {
                continue;
            }
            sp.dirty = true;
            let shown = shown(sp, &self.wiring);
            self.wiring.emit(Event::Group(Box::new(shown)));
            if let Some(by) = by.filter(|by| Some(*by) == from) {
                let sentence = format!("{} removed you from the group {name}.", self.wiring.name_of(&by));
                self.wiring.notice("group_left", sentence);
            }
        }
    }

    /// Groups into which we invited somebody who declined, and of which he is a member still.
    fn declined_by(&self, direct: SpaceId, peer: DeviceId) -> Vec<SpaceId> {
        let Some(sp) = self.spaces.get(&direct) else { return Vec::new() };
        let ours = sp.invited().filter(|(by, one)| *by == self.wiring.me && !one.open);
        let groups = ours.map(|(_, one)| one.invitation.origin.space());
        groups
            .filter(|group| sp.has_declined(&peer, group) && self.check_admin(*group).is_ok())
            .filter(|group| {
                let roster = self.spaces.get(group).and_then(Space::roster);
                let who = peer.principal();
                roster.is_some_and(|r| r.role(&who).is_some() && !r.has_come_in(&who))
            })
            .collect()
    }
}

fn last_admin() -> ApiError {
    ApiError::new("last_admin", "no admin would be left: make somebody else an admin first")
}
