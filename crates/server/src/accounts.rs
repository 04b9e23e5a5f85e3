//! `pilothouse redis-cloud account`: accounts over the local socket.

use crate::cli::{AccountCommand, Output};
use crate::local::LocalClient;
use crate::local::wire::{AccountRequest, AccountView, IssuedView};
use crate::output::{self, Table};

const PATH: &str = "/accounts/redis-cloud";

/// Carries a command out.
pub async fn run(client: &LocalClient, command: AccountCommand, form: Output) -> anyhow::Result<()> {
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
