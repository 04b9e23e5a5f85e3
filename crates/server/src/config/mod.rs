//! The configuration: one TOML file, every key of it also an environment variable, the common ones also a flag.
//!
//! Low to high: defaults, file, environment, flags. [`load`] puts the layers together, checks everything once and gives out a
//! [`Configuration`] that the rest of the program can believe. Every error names where the value was written, the key, and what is
//! allowed; an unknown key is an error, and so is one that has no effect. The keys stand in `raw`, their meaning in `checked`, the rules
//! in `check` and `effect`.

mod check;
mod checked;
mod effect;
mod error;
mod layers;
mod raw;
mod value;

use std::path::{Path, PathBuf};

pub use check::DEFAULT_RUN_AS;
pub use checked::{
    Admin, Backup, Bootstrap, Configuration, Endpoints, Engines, Globo, GloboEnvironment, GloboInfra, GloboPlan,
    GloboTeam, Health, KvrocksCompat, KvrocksController, Listen, Placement, RedisCloud, RedisCloudAccount,
    RedisCloudPlan, RedisEnterprise, RunAs, Server, Tls, TlsPair, Trove, TroveAuth, TroveFlavor, TroveProject,
    TroveToken, TroveUser,
};
pub use effect::is_served;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use value::{PortRange, duration, size};

use layers::Layers;

/// What the configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment; variables that are not ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags that were given: the flag, the key that it sets, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// What relative paths are relative to.
    pub working_dir: PathBuf,
}

impl Sources {
    /// The given file and flags with the environment and the working directory of this process. A variable that is not UTF-8 is left
    /// out; none of ours can be.
    pub fn of_process(
        file: Option<PathBuf>,
        flags: Vec<(&'static str, &'static str, String)>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            file,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
                .collect(),
            flags,
            working_dir: std::env::current_dir()?,
        })
    }
}

/// Reads and checks the configuration.
pub fn load(sources: &Sources) -> Result<Configuration, ConfigErrors> {
    let mut layers = Layers::new();
    if let Some(path) = &sources.file {
        layers.add_file(path, &read(path)?);
    }
    for (name, value) in &sources.environment {
        layers.add_environment(name, value);
    }
    for (flag, key, value) in &sources.flags {
        layers.add_flag(flag, key, value);
    }
    let (raw, origins, mut errors) = layers.finish();
    if let Some(raw) = &raw {
        errors.extend(effect::check(raw, &origins));
    }
    let checked = raw.map(|raw| check::check(sources.file.clone(), &raw, &origins, &sources.working_dir));
    match checked {
        Some(Ok(configuration)) if errors.is_empty() => return Ok(configuration),
        Some(Err(more)) => errors.extend(more),
        Some(Ok(_)) | None => {}
    }
    Err(ConfigErrors(errors))
}

fn read(path: &Path) -> Result<String, ConfigErrors> {
    std::fs::read_to_string(path).map_err(|error| {
        ConfigErrors(vec![ConfigError {
            origin: Origin::File(path.to_owned()),
            key: String::new(),
            problem: format!("cannot be read: {error}"),
        }])
    })
}

#[cfg(test)]
mod tests;
