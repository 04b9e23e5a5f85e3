//! `pilothouse db …`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pilothouse_model::{Cidr, CidrError};

use super::{Output, Place};
use crate::config;

/// `pilothouse db`
#[derive(Debug, Args)]
pub struct Db {
    /// Where configuration and data are.
    #[command(flatten)]
    pub place: Place,

    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,

    /// What to do.
    #[command(subcommand)]
    pub command: DbCommand,
}

/// What can be done with databases.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// List databases
    List {
        /// Also those that are being removed or whose creation failed
        #[arg(long)]
        all: bool,
    },

    /// Show one database: its servers, conditions, addresses
    Show {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// Show the password too
        #[arg(long)]
        password: bool,
    },

    /// Print the password of a database, and nothing else
    #[command(after_help = "\
Examples:
  REDISCLI_AUTH=$(pilothouse db password cache) redis-cli -p 10000")]
    Password {
        /// Which database.
        #[command(flatten)]
        target: Target,
    },

    /// Create a database
    #[command(after_help = "\
Examples:
  pilothouse db create cache --memory 100mb
  pilothouse db create orders --memory 1gb --replicas 1 --persistence aof --wait
  pilothouse db create sessions --memory 256mb --eviction allkeys-lru --port 12000 --password-file secret.txt
  pilothouse db create inner --memory 100mb --source 192.0.2.0/24 --max-connections 200

--memory is for the whole database: with a replica each of the two servers gets half of it.
Without a password one is generated; `pilothouse db password NAME` prints it.
Names may repeat, also between APIs: such databases are then told apart by their ids, which `pilothouse db list` shows.")]
    Create(Create),

    /// Change a database; what is not given stays
    #[command(after_help = "\
Examples:
  pilothouse db update cache --memory 200mb --wait
  pilothouse db update cache --source 192.0.2.0/24 --source 2001:db8::/32
  pilothouse db update cache --source any --max-connections 500

A new list of sources takes the place of the old one, and closes connections from addresses that it does not name.")]
    Update(Update),

    /// Delete a database and all its data
    Delete {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// Do not ask
        #[arg(short, long)]
        yes: bool,

        /// Whether to wait.
        #[command(flatten)]
        wait: Wait,
    },

    /// Open redis-cli on a database, logged in
    #[command(after_help = "\
Examples:
  pilothouse db connect cache
  pilothouse db connect cache -- SET greeting hello
  pilothouse db connect cache -- --bigkeys")]
    Connect {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// Passed on to redis-cli
        #[arg(last = true)]
        arguments: Vec<String>,
    },

    /// Make the replica the primary
    Failover {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// Whether to wait.
        #[command(flatten)]
        wait: Wait,
    },

    /// Remove all data of a database and keep the database
    Flush {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// Do not ask
        #[arg(short, long)]
        yes: bool,

        /// Whether to wait.
        #[command(flatten)]
        wait: Wait,
    },

    /// Show what the servers of a database printed
    Logs {
        /// Which database.
        #[command(flatten)]
        target: Target,

        /// The last so many lines of each server
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        lines: usize,
    },

    /// Show what happened to a database, and why; without a name, to all of them and to the gateway
    Events {
        /// Name or id of the database
        #[arg(value_name = "NAME|ID")]
        database: Option<String>,

        /// The last so many
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        lines: usize,
    },
}

/// Names one database.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Name or id of the database
    #[arg(value_name = "NAME|ID")]
    pub database: String,
}

/// Whether to wait for the end of an operation.
#[derive(Clone, Debug, Args)]
pub struct Wait {
    /// Wait until it is done, and show what is being done
    #[arg(short, long)]
    pub wait: bool,

    /// How long to wait, for instance 90s or 10m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

/// `pilothouse db create`
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    pub name: String,

    /// The product; the first that is installed when left out
    #[arg(long, value_enum)]
    pub engine: Option<EngineWord>,

    /// Memory limit of the whole database, for instance 100mb or 2gb; 0 is no limit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: u64,

    /// Copies besides the primary: 0 or 1
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub replicas: u8,

    /// What survives a restart; aof when left out
    #[arg(long, value_enum)]
    pub persistence: Option<PersistenceWord>,

    /// What goes when memory is full; nothing (noeviction) when left out
    #[arg(long, value_enum)]
    pub eviction: Option<EvictionWord>,

    /// The port of the database; a free one when left out
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// The password; other users of this machine can see it, so prefer --password-file
    #[arg(
        long,
        env = "PILOTHOUSE_DB_PASSWORD",
        hide_env_values = true,
        conflicts_with = "password_file"
    )]
    pub password: Option<String>,

    /// A file whose first line is the password; - reads stdin
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Who may connect.
    #[command(flatten)]
    pub access: Access,

    /// Whether to wait.
    #[command(flatten)]
    pub wait: Wait,
}

/// `pilothouse db update`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(
    ["memory", "replicas", "persistence", "eviction", "sources", "max_connections"]
))]
pub struct Update {
    /// Which database.
    #[command(flatten)]
    pub target: Target,

    /// Memory limit of the whole database, for instance 100mb or 2gb; 0 is no limit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,

    /// Copies besides the primary: 0 or 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=1))]
    pub replicas: Option<u8>,

    /// What survives a restart
    #[arg(long, value_enum)]
    pub persistence: Option<PersistenceWord>,

    /// What goes when memory is full
    #[arg(long, value_enum)]
    pub eviction: Option<EvictionWord>,

    /// Who may connect.
    #[command(flatten)]
    pub access: Access,

    /// Whether to wait.
    #[command(flatten)]
    pub wait: Wait,
}

/// Who may connect to a database.
#[derive(Clone, Debug, Args)]
pub struct Access {
    /// A range of addresses that may connect, or any; can be given several times
    #[arg(long = "source", value_name = "CIDR", value_parser = source)]
    pub sources: Vec<Source>,

    /// Most connections at once; 0 is no limit
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
}

impl Access {
    /// The list that was asked for; `None` when nothing was said, empty for everybody.
    ///
    /// # Errors
    /// `any` beside ranges: it is not clear what is meant.
    pub fn source_allow(&self) -> Result<Option<Vec<String>>, &'static str> {
        let ranges: Vec<_> = self
            .sources
            .iter()
            .filter_map(|source| match source {
                Source::Any => None,
                Source::Range(range) => Some(range.to_string()),
            })
            .collect();
        match (self.sources.len(), ranges.len()) {
            (0, _) => Ok(None),
            (given, listed) if given == listed || listed == 0 => Ok(Some(ranges)),
            _ => Err("--source any stands alone: it lets everybody in, and a range beside it would mean nothing"),
        }
    }
}

/// What `--source` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Everybody.
    Any,
    /// These.
    Range(Cidr),
}

fn source(text: &str) -> Result<Source, String> {
    if text == "any" {
        return Ok(Source::Any);
    }
    text.parse()
        .map(Source::Range)
        .map_err(|error: CidrError| format!("{error}; for instance 192.0.2.0/24, 2001:db8::/32, one address, or any"))
}

/// Products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineWord {
    /// redis-server
    Redis,
    /// valkey-server
    Valkey,
}

/// What survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PersistenceWord {
    /// Nothing
    Disabled,
    /// Snapshots, every hour in which something was written
    Snapshot,
    /// A log of every write, on disk once a second
    Aof,
    /// A log of every write, on disk before each answer
    AofAlways,
}

/// What goes when memory is full; the words are those of `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the words are the engine's own")]
pub enum EvictionWord {
    VolatileLru,
    VolatileLfu,
    VolatileTtl,
    VolatileRandom,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    Noeviction,
}

fn size(text: &str) -> Result<u64, String> {
    config::size(text)
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text)
}
