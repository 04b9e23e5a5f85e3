//! What a machine and the engines on it look like in this API.

use std::net::IpAddr;

use pilothouse_model::{EngineKind, HostFacts, InstalledEngine, Timestamp};

use crate::wire::bootstrap::{AvailableAddress, LocalNodeInfo, SupportedVersion};

/// The families that clients know. Quirk: everything of Debian's line counts as `ubuntu`, the only such word there is.
pub(crate) fn os_family(facts: &HostFacts) -> &'static str {
    let words = || std::iter::once(facts.os_id.as_str()).chain(facts.os_like.split_whitespace());
    if words().any(|word| word == "amzn") {
        "amzn"
    } else if words().any(|word| matches!(word, "rhel" | "fedora" | "centos" | "rocky" | "almalinux")) {
        "rhel"
    } else {
        "ubuntu"
    }
}

/// The engines on offer, newest first. Valkey counts by the Redis version that it is compatible with.
pub(crate) fn supported_versions(engines: &[InstalledEngine]) -> Vec<SupportedVersion> {
    let mut engines: Vec<&InstalledEngine> = engines.iter().collect();
    engines.sort_by(|a, b| (b.compatible, a.kind, b.version).cmp(&(a.compatible, b.kind, a.version)));
    let versions = engines.into_iter().map(|engine| SupportedVersion {
        db_type: "redis",
        major: true,
        redis_version: engine.compatible.series(),
        version: engine.compatible.to_string(),
        engine: engine.kind.as_str(),
        engine_version: engine.version.to_string(),
    });
    versions.collect()
}

/// The series of the newest engine on offer, Redis before Valkey: the default of new databases. `None` when no engine is installed.
pub(crate) fn newest_series(engines: &[InstalledEngine]) -> Option<String> {
    let newest = engines
        .iter()
        .max_by_key(|engine| (engine.compatible, engine.kind == EngineKind::Redis))?;
    Some(newest.compatible.series())
}

/// Addresses of the machine, loopback last and only where there is no other.
pub(crate) fn addresses(facts: &HostFacts, advertised: IpAddr) -> Vec<AvailableAddress> {
    let describe = |name: &str, address: IpAddr| AvailableAddress {
        address: address.to_string(),
        format: if address.is_ipv4() { "ipv4" } else { "ipv6" },
        if_name: name.to_owned(),
        private: match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    };
    let outward = facts.addresses.iter().filter(|(_, address)| !address.is_loopback());
    let mut shown: Vec<AvailableAddress> = outward.map(|(name, address)| describe(name, *address)).collect();
    if shown.is_empty() {
        shown.push(describe("lo", advertised));
    }
    shown
}

/// Seconds since the machine was started.
pub(crate) fn uptime_seconds(facts: &HostFacts, now: Timestamp) -> u64 {
    now.since(facts.booted_at).as_secs()
}

/// A size as the storage fields want it.
#[expect(clippy::cast_precision_loss, reason = "sizes of storage are floats on this wire")]
pub(crate) fn storage_size(bytes: u64) -> f64 {
    bytes as f64
}

/// What the bootstrap tells of this machine.
pub(crate) fn local_info(
    facts: &HostFacts,
    engines: &[InstalledEngine],
    advertised: IpAddr,
    software_version: &str,
    now: Timestamp,
) -> LocalNodeInfo {
    let addresses = addresses(facts, advertised);
    let path = facts.data_dir.display().to_string();
    LocalNodeInfo {
        uid: "1".to_owned(),
        architecture: facts.architecture.clone(),
        cores: facts.cores,
        total_memory: facts.memory_bytes,
        uptime: uptime_seconds(facts, now),
        available_addresses: addresses.clone(),
        available_addrs: addresses,
        ephemeral_storage_path: path.clone(),
        ephemeral_storage_size: storage_size(facts.storage_bytes),
        persistent_storage_path: path.clone(),
        persistent_storage_size: storage_size(facts.storage_bytes),
        bigredis_storage_path: path,
        bridge_interfaces: Vec::new(),
        fips_enabled: false,
        os_family: os_family(facts).to_owned(),
        os_name: facts.os_id.clone(),
        os_semantic_version: facts.os_version_id.clone(),
        os_version: facts.os_pretty_name.clone(),
        short_hostname: facts.hostname.clone(),
        software_version: software_version.to_owned(),
        cnm_version_sha: version_sha(),
        supported_bigstore_drivers: Vec::new(),
        supported_database_versions: supported_versions(engines),
    }
}

/// Forty hexadecimal digits that name this build, where the product shows a commit.
pub(crate) fn version_sha() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let digits: String = version.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0>40}")
}

#[cfg(test)]
mod tests {
    use pilothouse_model::EngineVersion;

    use super::*;

    fn installed(kind: EngineKind, version: &str, compatible: &str) -> InstalledEngine {
        let parse = |text| EngineVersion::parse(text).unwrap();
        InstalledEngine {
            kind,
            version: parse(version),
            compatible: parse(compatible),
            binary: "/x".into(),
        }
    }

    #[test]
    fn engines_are_told_by_what_they_are_compatible_with() {
        let engines = [
            installed(EngineKind::Redis, "7.0.15", "7.0.15"),
            installed(EngineKind::Valkey, "8.1.0", "7.2.4"),
            installed(EngineKind::Redis, "6.2.14", "6.2.14"),
        ];
        let shown = supported_versions(&engines);
        let short: Vec<_> = shown
            .iter()
            .map(|v| (v.engine, v.redis_version.as_str(), v.engine_version.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                ("valkey", "7.2", "8.1.0"),
                ("redis", "7.0", "7.0.15"),
                ("redis", "6.2", "6.2.14")
            ]
        );
        assert_eq!(newest_series(&engines).as_deref(), Some("7.2"));
        assert_eq!(newest_series(&[]), None);
    }

    #[test]
    fn families_are_those_that_clients_know() {
        let family = |id: &str, like: &str| {
            os_family(&HostFacts {
                os_id: id.to_owned(),
                os_like: like.to_owned(),
                ..HostFacts::default()
            })
        };
        assert_eq!(family("ubuntu", "debian"), "ubuntu");
        assert_eq!(family("debian", ""), "ubuntu");
        assert_eq!(family("rocky", "rhel centos fedora"), "rhel");
        assert_eq!(family("amzn", "fedora"), "amzn");
    }

    #[test]
    fn the_version_sha_has_forty_digits() {
        assert_eq!(version_sha().len(), 40);
    }
}
