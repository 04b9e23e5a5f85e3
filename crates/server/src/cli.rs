//! The command line: what can be typed, and the texts that `--help` shows. Nothing is done here.

mod db;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use db::{Access, Create, Db, DbCommand, EngineWord, EvictionWord, PersistenceWord, Source, Target, Update, Wait};

/// The exit codes of the program.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// It did not work; the reason is on stderr.
    pub const FAILED: u8 = 1;
    /// The command line or the configuration is wrong; nothing was tried.
    pub const USAGE: u8 = 2;
    /// The data directory is in use by another control plane or gateway.
    pub const LOCKED: u8 = 3;
    /// No control plane answers on the local socket.
    pub const NOT_RUNNING: u8 = 4;
    /// The control plane refused: not found, not valid, busy.
    pub const REFUSED: u8 = 5;
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it did not work; the reason is on stderr
  2  the command line or the configuration is wrong; nothing was tried
  3  the data directory is in use by another process
  4  no control plane answers on the local socket
  5  the control plane refused: not found, not valid, busy";

const EXAMPLES: &str = "\
Examples:
  pilothouse doctor                          what is installed and what is missing
  pilothouse serve                           run the control plane, data in ./pilothouse-data
  pilothouse db create cache --memory 100mb --replicas 1 --wait
  pilothouse db list
  pilothouse db connect cache                redis-cli, logged in";

/// A self-hosted database-as-a-service control plane.
///
/// `serve` runs it: it creates, watches, heals, scales, backs up and removes real database servers on this machine, and is steered
/// through APIs that already have clients. Stopping it leaves the databases running; they keep their addresses.
#[derive(Debug, Parser)]
#[command(name = "pilothouse", version, max_term_width = 110, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the control plane in the foreground, logging to stderr
    ///
    /// Adopts the database servers that run already, brings back those that died, then prints one line `pilothouse ready` with the
    /// addresses it listens on. SIGTERM and Ctrl-C end it within 10 seconds and leave databases and gateway running.
    #[command(after_help = "\
Examples:
  pilothouse serve
  pilothouse serve --data-dir /srv/pilothouse --advertise-address 192.0.2.7
  PILOTHOUSE_LISTEN__GLOBO=off pilothouse serve --config /etc/pilothouse.toml

Every key of the configuration is described in docs/configuration.md. Exit code 3: another control plane has the data directory.")]
    Serve(Serve),

    /// Run the data path: the stable addresses of databases
    ///
    /// Started and watched by `serve`, and outlives its restarts. There is no need to start it by hand.
    Gateway(Gateway),

    /// Start one database server; used by `serve`
    #[command(hide = true, disable_help_flag = true)]
    Launch {
        /// What the runtime passes on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },

    /// Look at this machine: what is installed, what is missing, which limits are in force, what to do about it
    #[command(after_help = "\
Examples:
  pilothouse doctor
  pilothouse doctor -o json | jq '.checks[] | select(.verdict == \"problem\")'

Exit code 1: at least one problem was found. Warnings and notes leave it at 0.")]
    Doctor(Doctor),

    /// Fill a dialect with the sample data of its documentation
    #[command(after_help = "\
Examples:
  pilothouse seed globo")]
    Seed(Seed),

    /// Databases: list, show, create, delete, connect and more, over the local socket
    #[command(after_help = "\
Examples:
  pilothouse db create cache --memory 100mb --replicas 1 --persistence aof --wait
  pilothouse db list -o json
  pilothouse db show cache
  pilothouse db connect cache -- --scan
  pilothouse db failover cache --wait
  pilothouse db delete cache --yes --wait

Databases that other APIs made are shown and changed here as well. The socket is data_dir/control.sock; it takes the account that
runs the control plane, and root.")]
    Db(Db),

    /// The Redis Cloud API: its accounts and their keys, over the local socket
    #[command(after_help = "\
Examples:
  pilothouse redis-cloud account list
  pilothouse redis-cloud account create team-a
  pilothouse redis-cloud account create ops --tenant default
  pilothouse redis-cloud key create team-a dashboard --role viewer --source 10.0.0.0/8

The keys of a new account are shown once and kept nowhere.")]
    RedisCloud(RedisCloud),

    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  pilothouse completion bash > /etc/bash_completion.d/pilothouse
  pilothouse completion zsh > \"${fpath[1]}/_pilothouse\"
  pilothouse completion fish > ~/.config/fish/completions/pilothouse.fish")]
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where the configuration and the data are.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// The configuration file; without one the defaults count
    #[arg(long, value_name = "FILE", env = "PILOTHOUSE_CONFIG", global = true)]
    pub config: Option<PathBuf>,

    /// Where everything is kept [key server.data_dir, default ./pilothouse-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// `pilothouse serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where configuration and data are.
    #[command(flatten)]
    pub place: Place,

    /// The address of this machine that databases are reached at [key server.advertise_address, default 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_address: Option<String>,

    /// What is logged: error, warn, info, debug, trace, or target=level lists [key server.log, default info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// The account of database servers and gateway when started by root: NAME or UID:GID [key server.run_as, default pilothouse]
    #[arg(long, value_name = "ACCOUNT")]
    pub run_as: Option<String>,

    /// Where the Redis Enterprise API listens, or off [key listen.redis_enterprise, default 127.0.0.1:9443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub redis_enterprise: Option<String>,
}

impl Serve {
    /// The flags that were given: flag, key, value.
    pub fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut flags = self.place.flags();
        let given = [
            (
                "--advertise-address",
                "server.advertise_address",
                &self.advertise_address,
            ),
            ("--log", "server.log", &self.log),
            ("--run-as", "server.run_as", &self.run_as),
            ("--redis-enterprise", "listen.redis_enterprise", &self.redis_enterprise),
        ];
        flags.extend(
            given
                .into_iter()
                .filter_map(|(flag, key, value)| Some((flag, key, value.clone()?))),
        );
        flags
    }
}

impl Place {
    /// The flags that were given: flag, key, value.
    pub fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let data_dir = self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        data_dir
            .map(|path| ("--data-dir", "server.data_dir", path))
            .into_iter()
            .collect()
    }
}

/// `pilothouse redis-cloud`
#[derive(Debug, Args)]
pub struct RedisCloud {
    /// Where the configuration and the data are.
    #[command(flatten)]
    pub place: Place,

    /// How results are shown
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,

    /// What to do.
    #[command(subcommand)]
    pub command: RedisCloudCommand,
}

/// What is managed of the Redis Cloud API.
#[derive(Debug, Subcommand)]
pub enum RedisCloudCommand {
    /// Accounts: each is a view of one tenant, with a pair of keys
    #[command(subcommand)]
    Account(AccountCommand),
    /// Further secret keys of an account
    #[command(subcommand)]
    Key(KeyCommand),
}

/// What can be done with the secret keys of an account.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a secret key and show it
    Create {
        /// The account
        account: String,
        /// The name of its holder
        name: String,
        /// What its holder may do
        #[arg(long, value_enum, default_value_t = KeyRole::Owner)]
        role: KeyRole,
        /// An address or range that it works from, once for each; without one it works from anywhere
        #[arg(long = "source", value_name = "CIDR")]
        sources: Vec<String>,
    },
    /// Remove a secret key
    Delete {
        /// The account
        account: String,
        /// The name of its holder
        name: String,
    },
}

/// What the holder of a secret key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyRole {
    /// Everything
    Owner,
    /// See everything
    Viewer,
    /// See the logs
    LogsViewer,
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// List the accounts
    List,
    /// Make an account and show its keys
    Create {
        /// Its name
        name: String,
        /// The tenant that it is a view of; without one it gets its own
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
}

/// `pilothouse gateway`
#[derive(Debug, Args)]
pub struct Gateway {
    /// The data directory of the control plane that this gateway belongs to
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Take over listeners and connections of the gateway that runs now
    #[arg(long)]
    pub take_over: bool,

    /// What is logged
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// `pilothouse doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Where configuration and data are.
    #[command(flatten)]
    pub place: Place,

    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `pilothouse seed`
#[derive(Debug, Args)]
pub struct Seed {
    /// Where configuration and data are.
    #[command(flatten)]
    pub place: Place,

    /// Whose sample data
    #[arg(value_enum)]
    pub dialect: SeedDialect,
}

/// Dialects that have sample data.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SeedDialect {
    /// The Globo API: its `reset_data`
    Globo,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns for people
    #[default]
    Table,
    /// JSON for programs
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(
                    subcommand.get_about().is_some(),
                    "{} has no description",
                    subcommand.get_name()
                );
                for argument in subcommand.get_arguments() {
                    assert!(
                        argument.get_help().is_some(),
                        "{} {} has no help",
                        subcommand.get_name(),
                        argument.get_id()
                    );
                }
                check(subcommand);
            }
        }
        check(&Cli::command());
    }

    #[test]
    fn flags_name_keys_that_exist() {
        let cli = Cli::parse_from([
            "pilothouse",
            "serve",
            "--data-dir",
            "d",
            "--advertise-address",
            "127.0.0.1",
            "--log",
            "warn",
            "--run-as",
            "a",
            "--redis-enterprise",
            "off",
        ]);
        let Command::Serve(serve) = cli.command else {
            panic!("serve was asked for")
        };
        let flags = serve.flags();
        assert_eq!(flags.len(), 5);
        crate::config::load(&crate::config::Sources {
            flags,
            working_dir: "/".into(),
            ..Default::default()
        })
        .unwrap();
    }
}
