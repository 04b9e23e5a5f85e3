//! `pilothouse doctor`: what is installed, what is missing, which limits are in force, and what to do about each.
//!
//! It changes nothing: it makes no directory, takes no lock, and removes the one file that it writes to time the disk. Each subject has
//! a file below; a [`Check`] is one finding. Works beside a running control plane, and tells what that one says needs attention.

mod directory;
mod engines;
mod gateway;
mod limits;
mod ports;

use pilothouse_engine::Engines;
use pilothouse_runtime::Runtime;
use serde::Serialize;

use crate::config::Configuration;
use crate::data_dir;
use crate::local::LocalClient;
use crate::local::wire::DatabaseView;
use crate::output::Table;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, but less well than it could.
    Warning,
    /// It will not work.
    Problem,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub subject: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn new(subject: &'static str, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            finding: finding.into(),
            remedy: None,
        }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order of subjects.
    pub checks: Vec<Check>,
}

impl Report {
    /// The worst of them.
    pub fn verdict(&self) -> Verdict {
        self.checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or(Verdict::Ok)
    }

    /// Lines for people: findings in columns, what to do below.
    pub fn lines(&self) -> Vec<String> {
        let mut table = Table::new(&["SUBJECT", "VERDICT", "FINDING"]);
        for check in &self.checks {
            let verdict = format!("{:?}", check.verdict).to_lowercase();
            table.row([check.subject.to_owned(), verdict, check.finding.clone()]);
        }
        let mut lines = table.lines();
        let remedies = self
            .checks
            .iter()
            .filter_map(|check| Some((check, check.remedy.as_ref()?)));
        let remedies: Vec<_> = remedies
            .map(|(check, remedy)| format!("- {}: {remedy}", check.subject))
            .collect();
        if !remedies.is_empty() {
            lines.extend([String::new(), "What to do:".to_owned()]);
            lines.extend(remedies);
        }
        lines
    }
}

/// Looks at everything.
pub async fn examine(configuration: &Configuration, runtime: &dyn Runtime, engines: &Engines) -> Report {
    let mut checks = engines::checks(runtime, engines).await;
    checks.extend(directory::checks(configuration));
    checks.extend(limits::checks(&runtime.host_facts().await, runtime.machine_load()));
    checks.push(placement(configuration));
    let running = data_dir::holder(&configuration.server.data_dir);
    checks.extend(ports::checks(configuration, running.is_some()));
    checks.push(gateway::check(&configuration.server.data_dir, running.is_some()).await);
    checks.extend(control_plane(configuration, running).await);
    Report { checks }
}

fn placement(configuration: &Configuration) -> Check {
    let check = |finding| Check::new("placement", Verdict::Note, finding);
    if configuration.placement.single_host_replicas {
        check(
            "primary and replica share this machine: a replica protects from the loss of a process, not of the machine",
        )
    } else {
        check("replicas need a second machine, and this version runs servers on one: databases with a replica are refused")
            .remedy("placement.single_host_replicas = true allows them")
    }
}

/// What a running control plane says needs attention.
async fn control_plane(configuration: &Configuration, running: Option<String>) -> Vec<Check> {
    const SUBJECT: &str = "control plane";
    let data_dir = &configuration.server.data_dir;
    let Some(holder) = running else {
        return vec![Check::new(
            SUBJECT,
            Verdict::Note,
            format!("none runs on {}", data_dir.display()),
        )];
    };
    let client = LocalClient::new(&data_dir::Layout::new(data_dir).control_socket);
    let databases: Vec<DatabaseView> = match client.get("/databases?all=true").await {
        Ok(databases) => databases,
        Err(error) => {
            return vec![Check::new(
                SUBJECT,
                Verdict::Warning,
                format!("{holder} runs, and {error}"),
            )];
        }
    };
    let mut checks = vec![Check::new(
        SUBJECT,
        Verdict::Ok,
        format!("{holder} runs, {} databases", databases.len()),
    )];
    for database in databases
        .iter()
        .filter(|database| !matches!(database.state.as_str(), "active" | "changing" | "creating"))
    {
        let finding = format!("{} is {}: {}", database.name, database.state, database.reason);
        let check = Check::new("database", Verdict::Warning, finding);
        checks.push(check.remedy(format!("pilothouse db events {}", database.id)));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_counts_and_remedies_stand_below() {
        let mut report = Report {
            checks: vec![Check::new("a", Verdict::Ok, "fine")],
        };
        assert_eq!(report.verdict(), Verdict::Ok);
        assert_eq!(report.lines(), ["SUBJECT  VERDICT  FINDING", "a        ok       fine"]);
        report
            .checks
            .push(Check::new("b", Verdict::Problem, "broken").remedy("mend it"));
        assert_eq!(report.verdict(), Verdict::Problem);
        assert_eq!(report.lines()[3..], ["", "What to do:", "- b: mend it"]);
    }
}
