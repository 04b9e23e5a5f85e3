//! Steps in words, for people who look at an operation or a condition.

use std::fmt;

use crate::plan::{Access, Step};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt(server) => write!(f, "look for a process of server {server}"),
            Self::Start(server) => write!(f, "start server {server}"),
            Self::Clear(server, why) => write!(f, "end what is left of server {server}: {why}"),
            Self::Establish(server) => write!(f, "make server {server} the first primary"),
            Self::Apply(server, Access::Open) => write!(f, "set up server {server} and let clients in"),
            Self::Apply(server, Access::Closed) => write!(f, "set up server {server} without letting clients in"),
            Self::RecordLineage(server) => write!(f, "record the history of server {server}"),
            Self::Release(server) => write!(f, "make server {server} follow nobody"),
            Self::FollowSource(server) => write!(f, "make server {server} follow the source"),
            Self::Attach { replica, primary } => write!(f, "make replica {replica} follow {primary}"),
            Self::MarkSynced(server) => write!(f, "record that replica {server} is in sync"),
            Self::MarkUnsynced(server) => write!(f, "record that replica {server} is not in sync"),
            Self::FailOver(promotion) => {
                let (candidate, old) = (promotion.candidate, promotion.old_primary);
                write!(f, "make {candidate} the primary instead of {old}: {}", promotion.reason)
            }
            Self::ResolveIntent { promoted: true, .. } => f.write_str("finish a promotion that was begun"),
            Self::ResolveIntent { promoted: false, .. } => f.write_str("give up a promotion that was begun"),
            Self::Restart(server) => write!(f, "restart server {server}"),
            Self::Remove(server) => write!(f, "remove server {server}"),
            Self::DeclareRecovery(why) => write!(f, "stop until somebody chooses: {why}"),
            Self::AbandonCreation(why) => write!(f, "give the creation up: {why}"),
            Self::Meet { server, peers } => write!(f, "introduce server {server} to {} others", peers.len()),
            Self::Forget { server, nodes } => {
                write!(f, "make server {server} forget {} that left", nodes.len())
            }
            Self::ClaimSlots { server, slots } => write!(f, "give server {server} {} slots", slots.len()),
            Self::RecordSlots(_) => f.write_str("record who owns which slots"),
            Self::MoveSlots { from, to, slots } => write!(f, "move {} slots from {from} to {to}", slots.len()),
            Self::Flush => f.write_str("empty the database"),
            Self::Delete => f.write_str("remove the database"),
        }
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::ServerId;

    use super::*;

    #[test]
    fn steps_read_as_sentences() {
        let server = ServerId::from_bytes([0; 16]);
        let id = "00000000-0000-0000-0000-000000000000";
        assert_eq!(Step::Start(server).to_string(), format!("start server {id}"));
        assert_eq!(Step::Delete.to_string(), "remove the database");
    }
}
