//! Finding the installed server binaries and asking them what they are.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::account::Account;

/// Where packages put servers, also when the search path of our own environment is short.
const USUAL: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/bin",
];

/// Longest time for a binary to print its version. Cold disks and loaded machines included.
const DEADLINE: Duration = Duration::from_secs(10);

/// More than any version text.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Every executable with that name: on `search_path`, then on `PATH`, then in the usual places. The same file is named once.
pub(crate) fn find(name: &str, search_path: &[PathBuf], path: Option<&OsStr>) -> Vec<PathBuf> {
    let of_environment = path
        .map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .unwrap_or_default();
    let folders = search_path
        .iter()
        .cloned()
        .chain(of_environment)
        .chain(USUAL.iter().map(PathBuf::from));
    let mut seen = HashSet::new();
    folders
        .filter(|folder| !folder.as_os_str().is_empty())
        .filter_map(|folder| std::path::absolute(folder.join(name)).ok())
        .filter(|path| is_executable(path))
        // The name found is kept, not where links lead: some programs act by the name they are called by.
        .filter(|path| path.canonicalize().is_ok_and(|real| seen.insert(real)))
        .collect()
}

/// Runs each binary with these arguments and returns what it printed, in the order given. One that cannot be run is left out.
pub(crate) async fn ask(
    binaries: Vec<PathBuf>,
    arguments: &[&str],
    account: Option<&Account>,
) -> Vec<(PathBuf, String)> {
    let mut asked = JoinSet::new();
    for (index, binary) in binaries.into_iter().enumerate() {
        let command = command(&binary, arguments, account);
        asked.spawn(async move {
            match tokio::time::timeout(DEADLINE, answer(command)).await {
                Ok(Ok(text)) => Some((index, binary, text)),
                Ok(Err(error)) => {
                    tracing::warn!(binary = %binary.display(), %error, "cannot be run; left out");
                    None
                }
                Err(_) => {
                    tracing::warn!(binary = %binary.display(), "does not answer; left out");
                    None
                }
            }
        });
    }
    let mut answers: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    answers.sort_unstable_by_key(|(index, ..)| *index);
    answers.into_iter().map(|(_, binary, text)| (binary, text)).collect()
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// Runs as the account of the servers: what that account cannot run is no server of ours, and what it runs has no rights of ours.
fn command(binary: &Path, arguments: &[&str], account: Option<&Account>) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(account) = account
        && rustix::process::geteuid().is_root()
    {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

async fn answer(mut command: Command) -> std::io::Result<String> {
    let mut child = command.spawn()?;
    let (mut text, mut errors) = (Vec::new(), Vec::new());
    let stdout = child.stdout.take().expect("it is piped").take(ANSWER_LIMIT);
    let stderr = child.stderr.take().expect("it is piped").take(ANSWER_LIMIT);
    let (mut stdout, mut stderr) = (stdout, stderr);
    tokio::try_join!(stdout.read_to_end(&mut text), stderr.read_to_end(&mut errors))?;
    drop((stdout, stderr));
    child.wait().await?;
    text.append(&mut errors);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("pilothouse-test-server");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn binaries_are_found_once_and_asked_in_order() {
        let temporary = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = ["a", "b", "link", "broken"]
            .iter()
            .map(|name| temporary.path().join(name))
            .collect();
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        let first = script(
            &folders[0],
            "#!/bin/sh\necho one $1; echo warning >&2; env | grep -c SECRET\n",
        );
        let second = script(&folders[1], "#!/bin/sh\necho two $1\n");
        symlink(&first, folders[2].join("pilothouse-test-server")).unwrap();
        script(&folders[3], "#!/no/such/interpreter\n");
        let path = std::env::join_paths([&folders[1], &folders[2], &folders[3]]).unwrap();
        let found = find("pilothouse-test-server", &folders[..1], Some(&path));
        assert_eq!(found[..2], [first.clone(), second.clone()]);
        assert_eq!(found.len(), 3);
        let answers = ask(found, &["--version"], None).await;
        assert_eq!(
            answers,
            [
                (first, "one --version\n0\nwarning\n".to_owned()),
                (second, "two --version\n".to_owned())
            ]
        );
        assert_eq!(
            find("no-such-binary-anywhere", &folders, Some(&path)),
            Vec::<PathBuf>::new()
        );
    }
}
