//! The layout of a database: made at its creation, brought in line at a change.

use pilothouse_model::{
    Database, DatabaseSpec, Layout, Lineage, Management, Server, ServerId, ServerPorts, Shard, ShardId, SlotRange,
    SlotSet,
};
use pilothouse_store::View;

use super::create::SECRET_LENGTH;
use crate::ports::Promise;
use crate::{Control, ControlError};

/// How many pairs of server ports are tried.
const SERVER_PORT_ATTEMPTS: usize = 64;

/// Servers that a change adds.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    /// One more for each of these shards.
    replicas: Vec<(ShardId, Server)>,
    /// New shards, which own nothing yet.
    shards: Vec<Shard>,
}

impl Growth {
    /// Every new server.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Server> {
        let of_shards = self.shards.iter().flat_map(|shard| &shard.servers);
        self.replicas.iter().map(|(_, server)| server).chain(of_shards)
    }
}

impl Control {
    /// The servers of a new database.
    pub(super) async fn first_layout(
        &self,
        view: &View,
        spec: &DatabaseSpec,
    ) -> Result<(Layout, Vec<Promise<'_>>), ControlError> {
        let mut promises = Vec::new();
        let mut shards = Vec::new();
        for slots in SlotSet::split_evenly(spec.shards) {
            shards.push(self.plan_shard(view, spec, vec![slots], &mut promises).await?);
        }
        Ok((Layout { shards }, promises))
    }

    /// The servers that a change needs beyond those that there are.
    pub(super) async fn growth<'a>(
        &'a self,
        view: &View,
        before: &Database,
        wanted: &DatabaseSpec,
    ) -> Result<(Growth, Vec<Promise<'a>>), ControlError> {
        let mut promises = Vec::new();
        let mut growth = Growth::default();
        for shard in before.layout.shards.iter().filter(|shard| !shard.leaving) {
            if staying(shard) < servers_of_shard(wanted) {
                let (server, promise) = self.plan_server(view, wanted).await?;
                promises.push(promise);
                growth.replicas.push((shard.id, server));
            }
        }
        for _ in before.layout.shards.len()..usize::from(wanted.shards) {
            let shard = self.plan_shard(view, wanted, Vec::new(), &mut promises).await?;
            growth.shards.push(shard);
        }
        Ok((growth, promises))
    }

    async fn plan_shard<'a>(
        &'a self,
        view: &View,
        spec: &DatabaseSpec,
        slots: Vec<SlotRange>,
        promises: &mut Vec<Promise<'a>>,
    ) -> Result<Shard, ControlError> {
        let mut servers = Vec::new();
        for _ in 0..servers_of_shard(spec) {
            let (server, promise) = self.plan_server(view, spec).await?;
            servers.push(server);
            promises.push(promise);
        }
        Ok(Shard {
            id: ShardId::new(),
            slots,
            servers,
            lineage: Lineage::default(),
            leaving: false,
            importing: Vec::new(),
        })
    }

    /// A new server on this machine, with ports of its own.
    pub(crate) async fn plan_server(
        &self,
        view: &View,
        spec: &DatabaseSpec,
    ) -> Result<(Server, Promise<'_>), ControlError> {
        for _ in 0..SERVER_PORT_ATTEMPTS {
            let mut taken: Vec<u16> = view.server_ports_in_use().collect();
            taken.extend(self.0.reservations.promised());
            let ports = self
                .0
                .runtime
                .free_ports(&taken, spec.cluster)
                .await
                .map_err(|error| ControlError::NoCapacity(error.to_string()))?;
            let Some(promise) = self.0.reservations.promise_all(&[ports.plain, ports.tls, ports.bus]) else {
                continue;
            };
            return Ok((self.new_server(spec, ports), promise));
        }
        Err(ControlError::NoCapacity(
            "no free ports are left for another server".to_owned(),
        ))
    }

    fn new_server(&self, spec: &DatabaseSpec, ports: ServerPorts) -> Server {
        Server {
            id: ServerId::new(),
            host: self.0.local_host,
            management: Management::Managed,
            version: spec.version,
            ports,
            management_secret: self.seal(&self.generate_secret(SECRET_LENGTH)),
            incarnation: 1,
            leaving: false,
            created_at: self.now(),
        }
    }
}

/// Takes the new spec over, and brings the layout in line: servers and shards more, or some that leave.
pub(super) fn apply_change(database: &mut Database, spec: DatabaseSpec, growth: Growth) {
    let before = &database.spec;
    let layout = &mut database.layout;
    change_shards(layout, usize::from(spec.shards), growth.shards);
    for shard in &mut layout.shards {
        let added = growth.replicas.iter().filter(|(id, _)| *id == shard.id);
        let added: Vec<Server> = added.map(|(_, server)| server.clone()).collect();
        change_replicas(shard, servers_of_shard(&spec), added);
        for server in &mut shard.servers {
            server.version = spec.version;
        }
        // Files of another persistence promise nothing about this one; what they hold is looked at again.
        shard.lineage.restartable &= spec.persistence == before.persistence;
    }
    let reshaped = before.replicas != spec.replicas || before.shards != spec.shards;
    database.topology_epoch += u64::from(reshaped);
    database.spec = spec;
    database.generation += 1;
}

/// One that was leaving and is wanted again stays; beyond that new ones come, or the last ones leave.
fn change_shards(layout: &mut Layout, wanted: usize, new: Vec<Shard>) {
    layout.shards.extend(new);
    for (at, shard) in layout.shards.iter_mut().enumerate() {
        shard.leaving = at >= wanted;
    }
}

fn change_replicas(shard: &mut Shard, wanted: usize, added: Vec<Server>) {
    let present = staying(shard);
    if present < wanted {
        shard.servers.extend(added);
    } else if present > wanted {
        let first = shard.servers.first().map(|server| server.id);
        let primary = shard.lineage.primary.or(first);
        let mut servers = shard.servers.iter_mut().rev();
        if let Some(leaver) = servers.find(|server| !server.leaving && Some(server.id) != primary) {
            leaver.leaving = true;
        }
    }
}

fn staying(shard: &Shard) -> usize {
    shard.servers.iter().filter(|server| !server.leaving).count()
}

fn servers_of_shard(spec: &DatabaseSpec) -> usize {
    1 + usize::from(spec.replicas)
}
