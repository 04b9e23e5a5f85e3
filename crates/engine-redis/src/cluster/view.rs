//! What a server sees of its cluster, who knows whom, and who follows whom.

use pilothouse_engine::{Deadline, EngineError, ErrorClass, Peer, PeerNode, Reply};
use pilothouse_model::{ClusterFacts, ClusterPeer, ServerRole};

use crate::client::{Client, Command, check_all};
use crate::cluster::nodes::{Node, Nodes};
use crate::error;
use crate::info::Info;
use crate::live::Applied;
use crate::replication;

/// Asks for the servers that it knows.
pub(super) async fn nodes(client: &mut Client, deadline: Deadline) -> Result<Nodes, EngineError> {
    let reply = client.call(&Command::new(["CLUSTER", "NODES"]), deadline).await?;
    Nodes::from_reply(&reply)
}

/// What it sees. Nobody can be introduced to it before it was asked for its name, so this is where it gets what it needs before.
pub(crate) async fn facts(client: &mut Client, deadline: Deadline) -> Result<ClusterFacts, EngineError> {
    let asked = ["NODES", "INFO"].map(|what| Command::new(["CLUSTER", what]));
    let replies = client.exchange(&asked, deadline).await?;
    let [nodes, info] = replies.as_slice() else {
        return Err(error::unexpected("CLUSTER"));
    };
    let Nodes { myself, others } = Nodes::from_reply(nodes)?;
    let info = Info::from_reply(info)?;
    if others.is_empty() && myself.epoch == 0 {
        tell_apart(client, &myself.name, deadline).await?;
    }
    Ok(ClusterFacts {
        node: myself.name,
        primary: myself.primary,
        serves: info.get("cluster_state") == Some("ok"),
        epoch: info
            .number("cluster_current_epoch")
            .ok_or_else(|| error::unexpected("CLUSTER INFO"))?,
        slots: myself.slots,
        migrating: myself.migrating,
        importing: myself.importing,
        peers: others.into_iter().map(peer).collect(),
    })
}

/// Gives a server an epoch that none of its siblings has: one that comes from its name.
///
/// Primaries find out by themselves that they have the same one, a replica and its primary do not. A replica that takes over with the
/// epoch of the old primary is not believed by the others, and loses its slots, with all that was written since, when that one is back.
async fn tell_apart(client: &mut Client, name: &str, deadline: Deadline) -> Result<(), EngineError> {
    let epoch = name.get(..8).and_then(|start| u32::from_str_radix(start, 16).ok());
    let Some(epoch) = epoch.filter(|epoch| *epoch > 0) else {
        return Err(error::unexpected("CLUSTER NODES"));
    };
    // It refuses if it met somebody meanwhile; then it was asked before.
    client
        .exchange(
            &[Command::new(["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()])],
            deadline,
        )
        .await
        .map(drop)
}

fn peer(node: Node) -> ClusterPeer {
    ClusterPeer {
        linked: node.connected && !node.handshake,
        node: node.name,
        port: node.port,
        handshake: node.handshake,
        primary: node.primary,
        slots: node.slots,
    }
}

/// Introduces it to others; to one that it knows it just says where that one is now.
pub(crate) async fn meet(client: &mut Client, peers: &[Peer], deadline: Deadline) -> Result<(), EngineError> {
    let mut commands = Vec::with_capacity(peers.len());
    for peer in peers {
        let (port, bus) = (peer.port.to_string(), place(peer)?.bus_port.to_string());
        commands.push(Command::new(["CLUSTER", "MEET", &peer.host, &port, &bus]));
    }
    check_all(&client.exchange(&commands, deadline).await?)
}

/// The place of a sibling in the cluster.
pub(super) fn place(peer: &Peer) -> Result<&PeerNode, EngineError> {
    peer.node
        .as_ref()
        .ok_or_else(|| error::invalid("a server of a cluster is addressed by its name and the port of its links"))
}

/// Makes it forget others. It refuses to learn of them again for a minute.
pub(crate) async fn forget(client: &mut Client, names: &[String], deadline: Deadline) -> Result<(), EngineError> {
    let commands: Vec<Command> = names
        .iter()
        .map(|name| Command::new(["CLUSTER", "FORGET", name]))
        .collect();
    let mut replies = client.exchange(&commands, deadline).await?;
    replies.retain(|reply| !matches!(reply, Reply::Error(text) if text.starts_with("ERR Unknown node")));
    check_all(&replies)
}

/// Makes a replica the owner of the slots of its primary without asking the others, who learn of it afterwards.
pub(crate) async fn take_over(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    let commands = [
        Command::new(["CLUSTER", "FAILOVER", "TAKEOVER"]),
        Command::new(["INFO", "replication"]),
    ];
    let replies = client.exchange(&commands, deadline).await?;
    let [done, info] = replies.as_slice() else {
        return Err(error::unexpected("CLUSTER FAILOVER"));
    };
    // One that is a primary already refuses.
    if replication::facts(&Info::from_reply(info)?)?.role == ServerRole::Primary {
        return Ok(());
    }
    check_all(std::slice::from_ref(done))?;
    Err(EngineError::new(
        ErrorClass::Transient,
        "the server has not become a primary yet",
    ))
}

/// Makes it follow a sibling.
pub(crate) async fn attach(
    client: &mut Client,
    applied: &Applied,
    primary: &Peer,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let name = &place(primary)?.name;
    replication::present_account(client, applied, deadline).await?;
    let myself = nodes(client, deadline).await?.myself;
    // To be told again would cut the link.
    if myself.primary.as_ref() == Some(name) {
        return Ok(());
    }
    let follow = Command::new(["CLUSTER", "REPLICATE", name]);
    let replies = client.exchange(std::slice::from_ref(&follow), deadline).await?;
    // A primary that was in the middle of a move when another took its place has keys left although it has no slots: nobody reaches
    // them, and it is about to get those of the one that it follows.
    let is_left_over = matches!(replies.first(), Some(Reply::Error(text)) if text.contains("must be empty"));
    if !(is_left_over && myself.primary.is_none() && myself.slots.is_empty()) {
        return check_all(&replies);
    }
    let again = [Command::new(["FLUSHALL", "ASYNC"]), follow];
    check_all(&client.exchange(&again, deadline).await?)
}
