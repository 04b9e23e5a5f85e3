//! `pilothouse redis-cloud`: accounts and their keys over the local socket.

use crate::cli::{AccountCommand, KeyCommand, KeyRole, Output, RedisCloudCommand};
use crate::local::LocalClient;
use crate::local::wire::{AccountRequest, AccountView, IssuedKeyView, IssuedView, KeyRequest};
use crate::output::{self, Table};

const PATH: &str = "/accounts/redis-cloud";

/// Carries a command out.
pub async fn run(client: &LocalClient, command: RedisCloudCommand, form: Output) -> anyhow::Result<()> {
    match command {
        RedisCloudCommand::Account(command) => account(client, command, form).await,
        RedisCloudCommand::Key(command) => key(client, command, form).await,
    }
}

async fn key(client: &LocalClient, command: KeyCommand, form: Output) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create {
            account,
            name,
            role,
            sources,
        } => {
            let role = match role {
                KeyRole::Owner => "owner",
                KeyRole::Viewer => "viewer",
                KeyRole::LogsViewer => "logs-viewer",
            };
            let request = KeyRequest {
                name,
                role: role.to_owned(),
                sources,
            };
            let issued: IssuedKeyView = client.post(&format!("{PATH}/{account}/keys"), &request).await?;
            match form {
                Output::Json => output::json(&issued)?,
                Output::Table => output::lines([
                    format!("account           {} ({})", issued.account.name, issued.account.number),
                    format!("holder            {}", issued.name),
                    format!("x-api-secret-key  {}", issued.secret_key),
                ])?,
            }
        }
        KeyCommand::Delete { account, name } => {
            let left: AccountView = client.delete(&format!("{PATH}/{account}/keys/{name}")).await?;
            match form {
                Output::Json => output::json(&left)?,
                Output::Table => output::lines([format!("left: {}", left.keys.join(", "))])?,
            }
        }
    }
    Ok(())
}

async fn account(client: &LocalClient, command: AccountCommand, form: Output) -> anyhow::Result<()> {
    match command {
        AccountCommand::List => list(client, form).await,
        AccountCommand::Create { name, tenant } => {
            let issued: IssuedView = client.post(PATH, &AccountRequest { name, tenant }).await?;
            match form {
                Output::Json => output::json(&issued)?,
                Output::Table => output::lines([
                    format!("account           {} ({})", issued.account.name, issued.account.number),
                    format!("x-api-key         {}", issued.access_key),
                    format!("x-api-secret-key  {}", issued.secret_key),
                ])?,
            }
            Ok(())
        }
    }
}

async fn list(client: &LocalClient, form: Output) -> anyhow::Result<()> {
    let accounts: Vec<AccountView> = client.get(PATH).await?;
    match form {
        Output::Json => output::json(&accounts)?,
        Output::Table => {
            let mut table = Table::new(&["NUMBER", "NAME", "TENANT", "KEYS"]);
            for account in accounts {
                table.row([
                    account.number.to_string(),
                    account.name,
                    account.tenant,
                    account.keys.join(", "),
                ]);
            }
            table.print()?;
        }
    }
    Ok(())
}
