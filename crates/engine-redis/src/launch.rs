//! How a server is found and started. Pure: the runtime carries it out.

use pilothouse_engine::{
    BinaryProbe, DiscoveredVersion, LaunchDescription, ServerDirectory, ServerFile, ServerSettings,
};
use pilothouse_model::{EngineKind, EngineVersion};

use crate::config;

/// The first version with everything that we rely on: rules for subcommands, selectors, several values in one `CONFIG SET`.
const OLDEST_REDIS: EngineVersion = EngineVersion::new(7, 0, 0);

/// Every Valkey is compatible with this Redis, and says so itself.
const VALKEY_COMPATIBLE: EngineVersion = EngineVersion::new(7, 2, 4);

/// Which binary to look for.
pub(crate) fn binary_probe(kind: EngineKind) -> BinaryProbe {
    let (binary, package) = match kind {
        EngineKind::Redis => ("redis-server", "redis-server"),
        EngineKind::Valkey => ("valkey-server", "valkey-server"),
    };
    BinaryProbe {
        binary,
        arguments: &["--version"],
        package,
    }
}

/// Reads `Redis server v=7.0.15 sha=…`, `Valkey server v=8.0.1 sha=…` and the `Server v=7.2.5 sha=…` of the first Valkey.
/// `None` for the other product, which distributions install under both names, and for versions that are too old.
pub(crate) fn parse_version(kind: EngineKind, printed: &str) -> Option<DiscoveredVersion> {
    let line = printed.lines().next()?.trim();
    let rest = match kind {
        EngineKind::Redis => line.strip_prefix("Redis server v=")?,
        EngineKind::Valkey => line
            .strip_prefix("Valkey server v=")
            .or_else(|| line.strip_prefix("Server v="))?,
    };
    let word = rest.split_ascii_whitespace().next()?;
    // `8.1.0-rc1`: the candidate of a version stands for it.
    let version = EngineVersion::parse(word.split('-').next()?).ok()?;
    match kind {
        EngineKind::Redis => (version >= OLDEST_REDIS).then_some(DiscoveredVersion {
            version,
            compatible: version,
        }),
        EngineKind::Valkey => Some(DiscoveredVersion {
            version,
            compatible: VALKEY_COMPATIBLE,
        }),
    }
}

/// How to start a server. The command line names the file and nothing else, because other users can read it.
pub(crate) fn launch(
    kind: EngineKind,
    version: EngineVersion,
    settings: &ServerSettings,
    directory: &ServerDirectory,
) -> LaunchDescription {
    LaunchDescription {
        files: vec![ServerFile {
            path: config::FILE_NAME.into(),
            content: config::file(kind.as_str(), version, settings, directory),
        }],
        directories: vec!["data".into()],
        arguments: vec![directory.root.join(config::FILE_NAME).to_string_lossy().into_owned()],
        environment: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::settings;

    #[test]
    fn versions_are_read_from_what_binaries_print() {
        let check = |kind, printed: &str, expected: Option<(&str, &str)>| {
            let found =
                parse_version(kind, printed).map(|found| (found.version.to_string(), found.compatible.to_string()));
            assert_eq!(
                found,
                expected.map(|(version, compatible)| (version.to_owned(), compatible.to_owned())),
                "{printed}"
            );
        };
        use EngineKind::{Redis, Valkey};
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n";
        let valkey = "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1a2b\n";
        let first_valkey = "Server v=7.2.5 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1a2b\n";
        check(Redis, redis, Some(("7.0.15", "7.0.15")));
        check(
            Redis,
            "Redis server v=8.2.1 sha=0:0 malloc=libc bits=64 build=0",
            Some(("8.2.1", "8.2.1")),
        );
        check(Redis, "Redis server v=6.2.14 sha=0:0", None);
        check(Redis, valkey, None);
        check(Redis, first_valkey, None);
        check(Valkey, valkey, Some(("8.0.1", "7.2.4")));
        check(Valkey, first_valkey, Some(("7.2.5", "7.2.4")));
        check(Valkey, "Valkey server v=8.1.0-rc2 sha=0:0", Some(("8.1.0", "7.2.4")));
        check(Valkey, redis, None);
        for nonsense in [
            "",
            "\n",
            "Redis server v=",
            "Redis server v=7",
            "KeyDB server v=6.3.4 sha=0:0",
            "bash: redis-server: not found",
        ] {
            check(Redis, nonsense, None);
            check(Valkey, nonsense, None);
        }
    }

    #[test]
    fn nothing_secret_is_on_the_command_line() {
        let directory = ServerDirectory {
            root: "/srv/one".into(),
        };
        let launch = launch(EngineKind::Redis, EngineVersion::new(7, 0, 15), &settings(), &directory);
        assert_eq!(launch.arguments, ["/srv/one/redis.conf"]);
        assert!(launch.environment.is_empty());
        assert_eq!(
            launch,
            super::launch(EngineKind::Redis, EngineVersion::new(7, 0, 15), &settings(), &directory)
        );
    }
}
