//! Reads the text of `CLUSTER NODES`.

use pilothouse_engine::{EngineError, Reply};
use pilothouse_model::{SlotRange, SlotSet};

use crate::client::text_of;
use crate::error;

/// The servers of a cluster, as one of them sees them.
#[derive(Debug, PartialEq)]
pub(crate) struct Nodes {
    /// The one that was asked.
    pub(crate) myself: Node,
    /// The others.
    pub(crate) others: Vec<Node>,
}

/// One line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// 0 where it is not known.
    pub(crate) port: u16,
    /// Whom it follows; `None` for a primary.
    pub(crate) primary: Option<String>,
    /// Of two that claim the same slot, the one with the larger number gets it.
    pub(crate) epoch: u64,
    pub(crate) handshake: bool,
    /// There is a connection to it.
    pub(crate) connected: bool,
    pub(crate) slots: SlotSet,
    /// Only of the one that was asked.
    pub(crate) migrating: Vec<(u16, String)>,
    /// Only of the one that was asked.
    pub(crate) importing: Vec<(u16, String)>,
}

impl Nodes {
    /// From the reply to `CLUSTER NODES`.
    pub(crate) fn from_reply(reply: &Reply) -> Result<Self, EngineError> {
        match reply {
            Reply::Error(text) => Err(error::from_server(text)),
            _ => text_of(reply)
                .and_then(Self::parse)
                .ok_or_else(|| error::unexpected("CLUSTER NODES")),
        }
    }

    /// From the text itself.
    fn parse(text: &str) -> Option<Self> {
        let mut myself = None;
        let mut others = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (node, is_myself) = parse_line(line)?;
            if is_myself {
                myself = Some(node);
            } else {
                others.push(node);
            }
        }
        Some(Self {
            myself: myself?,
            others,
        })
    }

    /// Whether the server of that name owns the slot.
    pub(crate) fn owns(&self, name: &str, slot: u16) -> bool {
        let mut all = self.others.iter().chain([&self.myself]);
        all.any(|node| node.name == name && node.slots.contains(slot))
    }
}

/// `NAME ADDRESS FLAGS PRIMARY PING PONG EPOCH LINK SLOT…`, and whether it is the one that was asked.
fn parse_line(line: &str) -> Option<(Node, bool)> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (name, address, flags, primary) = (next()?, next()?, next()?, next()?);
    let (_ping, _pong, epoch, link) = (next()?, next()?, next()?, next()?);
    let flag = |wanted: &str| flags.split(',').any(|flag| flag == wanted);
    let mut node = Node {
        name: name.to_owned(),
        port: port_of(address)?,
        primary: (primary != "-").then(|| primary.to_owned()),
        epoch: epoch.parse().ok()?,
        handshake: flag("handshake"),
        connected: link == "connected",
        ..Node::default()
    };
    for word in words.filter(|word| !word.is_empty()) {
        add_slots(&mut node, word)?;
    }
    Some((node, flag("myself")))
}

/// `IP:PORT@BUS[,HOST[,NAME=VALUE]…]`; the address may be of either kind, and is empty where it is not known.
fn port_of(address: &str) -> Option<u16> {
    let (address, _bus) = address.split(',').next()?.split_once('@')?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// `7`, `7-9`, `[7->-NAME]` on its way out, `[7-<-NAME]` on its way in.
fn add_slots(node: &mut Node, word: &str) -> Option<()> {
    if let Some(moving) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (slot, rest) = moving.split_once('-')?;
        let (direction, name) = rest.split_once('-')?;
        let moving = match direction {
            ">" => &mut node.migrating,
            "<" => &mut node.importing,
            _ => return None,
        };
        moving.push((slot.parse().ok()?, name.to_owned()));
        return Some(());
    }
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    node.slots.extend([SlotRange {
        first: first.parse().ok()?,
        last: last.parse().ok()?,
    }]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_every_kind_of_server() {
        let text = "\
            aa 127.0.0.1:7000@17000 myself,master - 0 1426238316232 3 connected 0-2 7 [93->-bb] [77-<-cc]\n\
            bb ::1:7001@17001,host.example master - 0 1426238316232 2 connected 5461-10922\n\
            cc 127.0.0.1:7002@17002,,tls-port=0,shard-id=ee slave bb 0 1426238316232 2 disconnected\n\
            dd :0@0 master,noaddr - 0 0 0 disconnected\n\
            ff 127.0.0.1:7003@17003 handshake - 0 0 0 connected\n";
        let nodes = Nodes::from_reply(&Reply::Bulk(text.into())).unwrap();
        let slots = |ranges: &[(u16, u16)]| -> SlotSet {
            let range = |&(first, last): &(u16, u16)| SlotRange { first, last };
            let ranges: Vec<_> = ranges.iter().map(range).collect();
            ranges.iter().collect()
        };
        let node = |name: &str, port| Node {
            name: name.into(),
            port,
            ..Node::default()
        };
        let expected = Nodes {
            myself: Node {
                epoch: 3,
                connected: true,
                slots: slots(&[(0, 2), (7, 7)]),
                migrating: vec![(93, "bb".into())],
                importing: vec![(77, "cc".into())],
                ..node("aa", 7000)
            },
            others: vec![
                Node {
                    epoch: 2,
                    connected: true,
                    slots: slots(&[(5461, 10_922)]),
                    ..node("bb", 7001)
                },
                Node {
                    primary: Some("bb".into()),
                    epoch: 2,
                    ..node("cc", 7002)
                },
                node("dd", 0),
                Node {
                    handshake: true,
                    connected: true,
                    ..node("ff", 7003)
                },
            ],
        };
        assert_eq!(nodes, expected);
        assert!(nodes.owns("aa", 7) && !nodes.owns("aa", 8) && nodes.owns("bb", 6000) && !nodes.owns("nobody", 7));
    }

    #[test]
    fn what_is_not_whole_is_an_error() {
        for text in [
            "",
            "aa 127.0.0.1:7000@17000 master - 0 0 2 connected 0-2",
            "aa 127.0.0.1:7000@17000 myself,master - 0",
            "aa 127.0.0.1@17000 myself,master - 0 0 2 connected",
            "aa 127.0.0.1:7000@17000 myself,master - 0 0 2 connected 0-x",
            "aa 127.0.0.1:7000@17000 myself,master - 0 0 2 connected [1-=-bb]",
        ] {
            assert!(Nodes::from_reply(&Reply::Bulk(text.into())).is_err(), "{text}");
        }
        assert!(Nodes::from_reply(&Reply::Error("ERR no".into())).is_err());
    }
}
