//! Plans of Essentials subscriptions: what is on offer, and what a plan limits (specification §12.1).

use serde::{Deserialize, Serialize};

use crate::translate::subscription::REGIONS;
use crate::wire::subscription::Provider;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Ids of a region's plans begin at its number times this.
const PLANS_OF_REGION: u64 = 1000;
/// What the other limits are measured by.
const UNIT: u64 = 250 * MIB;

/// A size and shape on offer in every region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOffer {
    /// Its name.
    pub name: String,
    /// Memory limit of its database, replica included, bytes.
    pub memory_bytes: u64,
    /// Whether its database can have a replica.
    pub replication: bool,
    /// Whether its database can keep its data on disk.
    pub persistence: bool,
    /// Price shown, whole dollars a month; 0 makes it a free plan.
    pub price: u32,
}

/// A plan in a region. Kept with each subscription, so that what was ordered stays what it was when the offers change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) memory_bytes: u64,
    pub(crate) replication: bool,
    pub(crate) persistence: bool,
    pub(crate) price: u32,
    pub(crate) provider: Provider,
    pub(crate) region: String,
    pub(crate) region_id: u64,
}

/// Every plan on offer.
pub(crate) struct Catalogue(Vec<Plan>);

impl Catalogue {
    /// These offers in every region; those that are always there when none are configured.
    pub(crate) fn new(offers: &[PlanOffer]) -> Self {
        let usual = usual_offers();
        let offers = if offers.is_empty() { &usual } else { offers };
        let plans = REGIONS.iter().zip(1..).flat_map(|((provider, region), region_id)| {
            offers.iter().zip(1..).map(move |(offer, number)| Plan {
                id: region_id * PLANS_OF_REGION + number,
                name: offer.name.clone(),
                memory_bytes: offer.memory_bytes,
                replication: offer.replication,
                persistence: offer.persistence,
                price: offer.price,
                provider: Provider::named(provider),
                region: (*region).to_owned(),
                region_id,
            })
        });
        Self(plans.collect())
    }

    /// Every plan, by id.
    pub(crate) fn plans(&self) -> &[Plan] {
        &self.0
    }

    /// The plan with that id.
    pub(crate) fn plan(&self, id: u64) -> Option<&Plan> {
        self.0.iter().find(|plan| plan.id == id)
    }
}

fn usual_offers() -> Vec<PlanOffer> {
    let offer = |name: &str, memory_bytes, kept, price| PlanOffer {
        name: name.to_owned(),
        memory_bytes,
        replication: kept,
        persistence: kept,
        price,
    };
    vec![
        offer("30MB", 30 * MIB, false, 0),
        offer("250MB", 250 * MIB, false, 5),
        offer("250MB replicated", 250 * MIB, true, 10),
        offer("1GB", GIB, false, 15),
        offer("1GB replicated", GIB, true, 30),
        offer("5GB", 5 * GIB, false, 60),
        offer("5GB replicated", 5 * GIB, true, 120),
    ]
}

impl Plan {
    /// What a database's own data can take, bytes.
    pub(crate) fn dataset_bytes(&self) -> u64 {
        self.memory_bytes / if self.replication { 2 } else { 1 }
    }

    pub(crate) const fn is_free(&self) -> bool {
        self.price == 0
    }

    /// What costs money has TLS, backups, and may follow another database.
    pub(crate) const fn has_extras(&self) -> bool {
        !self.is_free()
    }

    /// Databases in a subscription.
    pub(crate) const fn databases_max(&self) -> usize {
        1
    }

    fn units(&self) -> u32 {
        u32::try_from(self.memory_bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// Connections to the database at once. Enforced.
    pub(crate) fn connections(&self) -> u32 {
        if self.is_free() {
            30
        } else {
            self.units().saturating_mul(256)
        }
    }

    /// Ranges in the database's list of sources.
    pub(crate) const fn sources_max(&self) -> usize {
        match (self.is_free(), self.memory_bytes < GIB) {
            (true, _) => 1,
            (false, true) => 4,
            (false, false) => 8,
        }
    }

    /// Requests in a second that the plan is meant for; neither promised nor enforced.
    pub(crate) fn throughput(&self) -> u32 {
        if self.is_free() {
            100
        } else {
            self.units().saturating_mul(2000)
        }
    }

    /// Gigabytes of traffic in a month that the plan is meant for; not enforced.
    pub(crate) fn bandwidth_gb(&self) -> u32 {
        if self.is_free() {
            5
        } else {
            self.units().saturating_mul(200)
        }
    }

    /// Alerts that its database can have.
    pub(crate) const fn alerts() -> [&'static str; 5] {
        [
            "datasets-size",
            "throughput-higher-than",
            "throughput-lower-than",
            "latency",
            "connections-limit",
        ]
    }

    /// A size in the plan's unit.
    pub(crate) fn in_unit(&self, bytes: u64) -> f64 {
        let unit = if self.unit() == "GB" { GIB } else { MIB };
        (bytes as f64 / unit as f64 * 100.0).round() / 100.0
    }

    pub(crate) const fn unit(&self) -> &'static str {
        if self.memory_bytes < GIB { "MB" } else { "GB" }
    }

    pub(crate) const fn availability(&self) -> &'static str {
        if self.replication {
            "Single-zone"
        } else {
            "No replication"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_plan_on_offer_is_free() {
        let catalogue = Catalogue::new(&[]);
        let first = catalogue.plans().first().unwrap();
        assert!(first.is_free() && first.id == 1001 && first.connections() == 30);
        assert_eq!((first.in_unit(first.memory_bytes), first.unit()), (30.0, "MB"));
        let ids: std::collections::BTreeSet<u64> = catalogue.plans().iter().map(|plan| plan.id).collect();
        assert_eq!(ids.len(), catalogue.plans().len());
    }

    #[test]
    fn configured_offers_replace_the_usual_ones() {
        let offer = PlanOffer {
            name: "ours".to_owned(),
            memory_bytes: 2 * GIB,
            replication: true,
            persistence: true,
            price: 7,
        };
        let catalogue = Catalogue::new(&[offer]);
        assert_eq!(catalogue.plans().len(), REGIONS.len());
        let plan = catalogue.plan(1001).unwrap();
        assert_eq!((plan.dataset_bytes(), plan.in_unit(plan.memory_bytes)), (GIB, 2.0));
    }
}
