//! Accounts: our own, and the logins of clients.
//!
//! Clients can neither see nor change accounts. Ours differ in what they may do: administration everything, commands from an API
//! everything that a tenant may have, replication the three commands that a replica needs, and in a cluster those that hand keys over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pilothouse_engine::{Deadline, EngineError, Fence, Login, Reply, ServerSettings};
use pilothouse_model::Secret;
use sha2::{Digest, Sha256};

use crate::acl::{CLIENTS, CLUSTER, Rule, WITHHELD};
use crate::client::{Client, Command, check_all, texts_of};
use crate::{error, tuning};

/// The account of the control plane.
pub const MANAGEMENT_LOGIN: &str = "pilothouse";

/// The account that runs commands which somebody sent through an API: everything but what is withheld from tenants, also in scripts.
pub const COMMAND_LOGIN: &str = "pilothouse-command";

/// The account of replicas.
pub const REPLICATION_LOGIN: &str = "pilothouse-replica";

/// Names that no client login may have.
pub(crate) const RESERVED: &[&str] = &[MANAGEMENT_LOGIN, COMMAND_LOGIN, REPLICATION_LOGIN];

/// The login with which one database follows another of ours: the only login of clients that may ask for a replication stream, because
/// it can read everything anyway and its password is part of the address that is given to followers.
const FOLLOWED_AS: &str = "admin";
const FOLLOWING: &[&str] = &["psync", "replconf"];

/// The login without a name. It exists in every server and cannot be deleted.
const DEFAULT: &str = "default";

/// The accounts in the file from which a server starts: ours are on, the login without a name is off, and there are no others.
pub(crate) fn file_lines(settings: &ServerSettings) -> [String; 3] {
    [
        format!("user {DEFAULT} off resetpass resetkeys resetchannels -@all"),
        format!(
            "user {MANAGEMENT_LOGIN} on #{} ~* &* +@all",
            sha256(settings.management_secret.expose())
        ),
        format!("user {COMMAND_LOGIN} {}", command_account(settings).join(" ")),
    ]
}

/// The secret of [`COMMAND_LOGIN`], which whoever has the management secret can work out.
pub(crate) fn command_secret(management: &Secret) -> Secret {
    Secret::new(sha256(&format!("{COMMAND_LOGIN}:{}", management.expose())))
}

fn command_account(settings: &ServerSettings) -> Vec<String> {
    let secret = command_secret(&settings.management_secret);
    let mut words = vec!["on".to_owned(), format!("#{}", sha256(secret.expose()))];
    words.extend(["~*", "&*", "+@all"].map(str::to_owned));
    let Limits { denied, granted } = Limits::new(settings, false);
    words.extend(denied.iter().map(|command| format!("-{command}")));
    words.extend(granted.iter().map(|command| format!("+{command}")));
    words
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a login loses and then gets, whatever its rule says.
struct Limits<'a> {
    denied: Vec<&'a str>,
    granted: Vec<&'a str>,
}

impl<'a> Limits<'a> {
    /// `followed`: it is the login with which other databases follow this one.
    fn new(settings: &'a ServerSettings, followed: bool) -> Self {
        let disabled = &settings.disabled_commands;
        let is_disabled = |command: &&str| {
            let container = command.split('|').next();
            disabled
                .iter()
                .any(|name| name == *command || Some(name.as_str()) == container)
        };
        let clustered = settings.cluster.is_some();
        let given = [(followed, FOLLOWING), (clustered, CLIENTS)];
        let granted: Vec<&str> = given
            .into_iter()
            .filter(|(applies, _)| *applies)
            .flat_map(|(_, commands)| commands.iter().copied())
            .filter(|command| !is_disabled(command))
            .collect();
        let withheld = WITHHELD.iter().copied().chain(clustered.then_some(CLUSTER));
        let denied = withheld
            .filter(|command| !granted.contains(command))
            .chain(disabled.iter().map(String::as_str));
        Self {
            denied: denied.collect(),
            granted,
        }
    }
}

/// The accounts that a server should have, besides the management account: name and arguments of `ACL SETUSER` after `reset`.
pub(crate) struct Accounts(BTreeMap<String, Account>);

struct Account {
    arguments: Vec<String>,
    enabled: bool,
}

impl Accounts {
    /// From settings; refuses what the server would misunderstand.
    pub(crate) fn from_settings(settings: &ServerSettings) -> Result<Self, EngineError> {
        let mut accounts = BTreeMap::from([
            (
                DEFAULT.to_owned(),
                Account {
                    arguments: ["off", "resetchannels"].map(str::to_owned).to_vec(),
                    enabled: false,
                },
            ),
            (
                COMMAND_LOGIN.to_owned(),
                Account {
                    arguments: command_account(settings),
                    enabled: true,
                },
            ),
            (REPLICATION_LOGIN.to_owned(), replication_account(settings)),
        ]);
        let mut seen = BTreeSet::new();
        for login in &settings.logins {
            check_name(&login.name)?;
            if !seen.insert(&login.name) {
                return Err(error::invalid(format!("the login {:?} is there twice", login.name)));
            }
            accounts.insert(login.name.clone(), client_account(login, settings)?);
        }
        Ok(Self(accounts))
    }
}

fn replication_account(settings: &ServerSettings) -> Account {
    let enabled = settings.fence != Fence::Closed;
    let hash = format!("#{}", sha256(settings.replication_secret.expose()));
    let words = [on_off(enabled), &hash, "resetchannels", "+psync", "+replconf", "+ping"];
    let mut arguments = words.map(str::to_owned).to_vec();
    if settings.cluster.is_some() {
        // With these a server hands keys over to another.
        arguments.extend(["%W~*", "+select", "+restore-asking"].map(str::to_owned));
    }
    Account { arguments, enabled }
}

fn client_account(login: &Login, settings: &ServerSettings) -> Result<Account, EngineError> {
    let rule = Rule::parse(&login.rules)
        .map_err(|why| error::invalid(format!("the rule of login {:?}: {why}", login.name)))?;
    let enabled = login.enabled && settings.fence == Fence::Open;
    let mut arguments = vec![on_off(enabled).to_owned()];
    if login.without_password {
        arguments.push("nopass".into());
    }
    for hash in &login.password_sha256 {
        let hash = hash.expose();
        // Checked here, because the server's complaint would repeat it.
        if hash.len() != 64
            || !hash
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        {
            return Err(error::invalid(format!(
                "a password of login {:?} is not 64 lower-case hexadecimal digits",
                login.name
            )));
        }
        arguments.push(format!("#{hash}"));
    }
    let Limits { denied, granted } = Limits::new(settings, login.name == FOLLOWED_AS);
    let all_channels = settings
        .tuning
        .get("acl-pubsub-default")
        .is_some_and(|value| value == "allchannels");
    arguments.extend(rule.arguments(&denied, all_channels));
    arguments.extend(granted.iter().map(|command| format!("+{command}")));
    Ok(Account { arguments, enabled })
}

fn on_off(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

fn check_name(name: &str) -> Result<(), EngineError> {
    let allowed = |character: char| !character.is_whitespace() && !character.is_control();
    if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
        return Err(error::invalid(format!("{name:?} cannot be the name of a login")));
    }
    if RESERVED.contains(&name) {
        return Err(error::invalid(format!("the login name {name:?} is reserved")));
    }
    Ok(())
}

/// The accounts of a running server: each name with its line of `ACL LIST`.
pub(crate) struct AccountList(BTreeMap<String, String>);

impl AccountList {
    /// Asks for them.
    pub(crate) fn command() -> Command {
        Command::new(["ACL", "LIST"])
    }

    /// From the reply to [`AccountList::command`]. A line is `user NAME on|off …`; names have no spaces.
    pub(crate) fn from_reply(reply: &Reply) -> Result<Self, EngineError> {
        let lines = texts_of(reply, "ACL LIST")?;
        let entry = |line: String| {
            let name = line.split(' ').nth(1)?.to_owned();
            Some((name, line))
        };
        Ok(Self(lines.into_iter().filter_map(entry).collect()))
    }

    /// No login of clients works.
    pub(crate) fn fenced(&self) -> bool {
        self.0
            .iter()
            .all(|(name, line)| RESERVED.contains(&name.as_str()) || !is_on(line))
    }

    /// The names of the accounts whose connections are not ours.
    fn names_of_others(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| ![MANAGEMENT_LOGIN, COMMAND_LOGIN].contains(name))
    }
}

fn is_on(line: &str) -> bool {
    line.split(' ').nth(2) == Some("on")
}

/// What this session knows of accounts that it has set: the server writes rules in a form of its own, so an account is known to be as
/// wanted when neither what we want nor what the server shows has changed since.
#[derive(Default)]
pub(crate) struct AccountMemory(HashMap<String, Remembered>);

struct Remembered {
    wanted: [u8; 32],
    line: String,
}

/// Makes the accounts as wanted: one transaction, so that no login loses a right without losing its connections. True when one changed.
pub(crate) async fn apply(
    client: &mut Client,
    memory: &mut AccountMemory,
    accounts: &Accounts,
    before: &AccountList,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    let mut commands = vec![Command::new(["MULTI"])];
    for (name, account) in &accounts.0 {
        let line = before.0.get(name);
        let known = memory
            .0
            .get(name)
            .is_some_and(|known| Some(&known.line) == line && known.wanted == fingerprint(account));
        if known {
            continue;
        }
        commands.push(Command::new(["ACL", "SETUSER", name, "reset"]).with(&account.arguments));
        if !account.enabled && line.is_some_and(|line| is_on(line)) {
            commands.push(kill(name));
        }
    }
    for name in before
        .0
        .keys()
        .filter(|name| *name != MANAGEMENT_LOGIN && !accounts.0.contains_key(*name))
    {
        // Deleting a login closes its connections.
        commands.push(Command::new(["ACL", "DELUSER", name]));
    }
    if commands.len() == 1 {
        return Ok(false);
    }
    commands.push(Command::new(["EXEC"]));
    commands.push(AccountList::command());
    let replies = client.exchange(&commands, deadline).await?;
    let (list, done) = replies.split_last().ok_or_else(|| error::unexpected("EXEC"))?;
    check_all(done)?;
    let after = AccountList::from_reply(list)?;
    memory.0.clear();
    for (name, account) in &accounts.0 {
        if let Some(line) = after.0.get(name) {
            let remembered = Remembered {
                wanted: fingerprint(account),
                line: line.clone(),
            };
            memory.0.insert(name.clone(), remembered);
        }
    }
    Ok(before.0 != after.0)
}

fn fingerprint(account: &Account) -> [u8; 32] {
    let mut digest = Sha256::new();
    for argument in &account.arguments {
        digest.update(argument);
        digest.update([0]);
    }
    digest.finalize().into()
}

fn kill(name: &str) -> Command {
    Command::new(["CLIENT", "KILL", "USER", name])
}

/// Switches every account off that is not ours and closes their connections, whether they were on or not.
pub(crate) async fn fence(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    let reply = client.call(&AccountList::command(), deadline).await?;
    let list = AccountList::from_reply(&reply)?;
    let mut commands = vec![Command::new(["MULTI"])];
    for name in list.names_of_others() {
        commands.push(Command::new(["ACL", "SETUSER", name, "off"]));
        commands.push(kill(name));
    }
    commands.push(Command::new(["EXEC"]));
    check_all(&client.exchange(&commands, deadline).await?)
}

/// Closes the connections of clients; those of replicas and ours stay.
pub(crate) async fn disconnect_clients(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    let reply = client.call(&AccountList::command(), deadline).await?;
    let list = AccountList::from_reply(&reply)?;
    let commands: Vec<Command> = list
        .names_of_others()
        .filter(|name| *name != REPLICATION_LOGIN)
        .map(kill)
        .collect();
    check_all(&client.exchange(&commands, deadline).await?)
}

/// Checks the words of settings that concern commands: each must exist.
pub(crate) fn check_disabled(commands: &[String]) -> Result<(), EngineError> {
    match commands.iter().find(|command| !crate::commands::is_command(command)) {
        Some(unknown) => Err(error::invalid(format!("{unknown:?} is not a known command"))),
        None => Ok(()),
    }
}

/// Checks everything that [`Accounts::from_settings`] and the configuration take for granted.
pub(crate) fn check(settings: &ServerSettings) -> Result<(), EngineError> {
    check_disabled(&settings.disabled_commands)?;
    tuning::canonical(&settings.tuning).map(drop).map_err(error::invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::settings;

    fn login(name: &str) -> Login {
        Login {
            name: name.into(),
            enabled: true,
            password_sha256: vec![Secret::new("a".repeat(64))],
            without_password: false,
            rules: "+@all ~*".into(),
        }
    }

    #[test]
    fn names_hashes_and_rules_are_checked() {
        let check = |change: fn(&mut Login)| {
            let mut settings = settings();
            let mut login = login("alice");
            change(&mut login);
            settings.logins = vec![login];
            Accounts::from_settings(&settings).err().map(|error| error.message)
        };
        assert_eq!(check(|_| ()), None);
        assert_eq!(check(|login| login.name = "a@b.example".into()), None);
        for refused in [
            check(|login| login.name = MANAGEMENT_LOGIN.into()),
            check(|login| login.name = REPLICATION_LOGIN.into()),
            check(|login| login.name = COMMAND_LOGIN.into()),
            check(|login| login.name = "a b".into()),
            check(|login| login.name = "a\nuser x".into()),
            check(|login| login.name = String::new()),
            check(|login| login.rules = "+@all nopass".into()),
        ] {
            assert!(refused.is_some());
        }
        let message = check(|login| login.password_sha256 = vec![Secret::new("hunter2")]).expect("refused");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn two_logins_of_one_name_are_refused() {
        let mut settings = settings();
        settings.logins = vec![login("alice"), login("alice")];
        assert!(Accounts::from_settings(&settings).is_err());
    }

    #[test]
    fn the_fence_decides_who_is_on() {
        let states = |fence| {
            let mut settings = settings();
            settings.fence = fence;
            settings.logins.push(login("alice"));
            let accounts = Accounts::from_settings(&settings).unwrap().0;
            [DEFAULT, "alice", REPLICATION_LOGIN, COMMAND_LOGIN]
                .map(|name| (accounts[name].enabled, accounts[name].arguments[0].clone()))
        };
        let expect = |on: [bool; 4]| on.map(|on| (on, on_off(on).to_owned()));
        assert_eq!(states(Fence::Closed), expect([false, false, false, true]));
        assert_eq!(states(Fence::Replication), expect([false, false, true, true]));
        assert_eq!(states(Fence::Open), expect([true, true, true, true]));
    }

    #[test]
    fn only_the_login_that_databases_follow_may_replicate() {
        let mut settings = settings();
        settings.logins = vec![login("admin"), login("alice")];
        let accounts = Accounts::from_settings(&settings).unwrap().0;
        let has = |name: &str, word: &str| accounts[name].arguments.iter().any(|argument| argument == word);
        assert!(has("admin", "+psync") && !has("admin", "-psync") && has("admin", "-replicaof"));
        assert!(!has("alice", "+psync") && has("alice", "-psync"));
        settings.disabled_commands = vec!["psync".into()];
        let accounts = Accounts::from_settings(&settings).unwrap().0;
        assert!(!accounts["admin"].arguments.contains(&"+psync".to_owned()));
    }
}
