//! Finding the installed server binaries and asking them what they are.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// How long an answer counts while the file is the same: the libraries that a binary needs may change without it.
const ANSWER_KEPT: Duration = Duration::from_secs(60);

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

/// What binaries printed, so that looking again costs a look at their files. A package that is replaced makes another file.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<HashMap<Question, Known>>);

type Question = (PathBuf, Vec<String>);

#[derive(Debug)]
struct Known {
    file: FileMark,
    at: Instant,
    /// `None`: it cannot be run.
    text: Option<String>,
}

/// Changes whenever a file is written or exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileMark {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileMark {
    fn of(path: &Path) -> Option<Self> {
        let facts = path.metadata().ok()?;
        Some(Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

impl Answers {
    /// As [`ask`], and asks again only where the answer may be another one.
    pub(crate) async fn ask(
        &self,
        binaries: Vec<PathBuf>,
        arguments: &[&str],
        account: Option<&Account>,
    ) -> Vec<(PathBuf, String)> {
        let question = |binary: &PathBuf| -> Question {
            (
                binary.clone(),
                arguments.iter().map(|&argument| argument.to_owned()).collect(),
            )
        };
        // Taken before they are asked: a file that is exchanged meanwhile is asked again the next time.
        let marks: Vec<_> = binaries.iter().map(|binary| FileMark::of(binary)).collect();
        let unknown: Vec<PathBuf> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_known = |binary: &PathBuf, mark: Option<FileMark>| {
                known
                    .get(&question(binary))
                    .is_some_and(|known| Some(known.file) == mark && known.at.elapsed() < ANSWER_KEPT)
            };
            let pairs = binaries.iter().zip(&marks);
            pairs
                .filter(|(binary, mark)| !is_known(binary, **mark))
                .map(|(binary, _)| binary.clone())
                .collect()
        };
        let mut told: HashMap<_, _> = ask(unknown.clone(), arguments, account).await.into_iter().collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Vec::new();
        for (binary, mark) in binaries.into_iter().zip(marks) {
            let question = question(&binary);
            if unknown.contains(&binary) {
                let (at, text) = (Instant::now(), told.remove(&binary));
                known.remove(&question);
                known.extend(mark.map(|file| (question.clone(), Known { file, at, text })));
            }
            let text = known.get(&question).and_then(|known| known.text.clone());
            answers.extend(text.map(|text| (binary, text)));
        }
        answers
    }
}

/// Runs each binary with these arguments and returns what it printed, in the order given. One that cannot be run is left out.
async fn ask(binaries: Vec<PathBuf>, arguments: &[&str], account: Option<&Account>) -> Vec<(PathBuf, String)> {
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

    #[tokio::test]
    async fn an_exchanged_binary_is_asked_again_and_the_same_one_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let counter = temporary.path().join("runs");
        let text = |version: &str| format!("#!/bin/sh\necho {version}; echo run >> {}\n", counter.display());
        let binary = script(temporary.path(), &text("one"));
        let answers = Answers::default();
        let ask = async || answers.ask(vec![binary.clone()], &["--version"], None).await;
        for _ in 0..3 {
            assert_eq!(ask().await, [(binary.clone(), "one\n".to_owned())]);
        }
        let aside = temporary.path().join("aside");
        fs::write(&aside, text("two")).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&aside, &binary).unwrap();
        assert_eq!(ask().await, [(binary.clone(), "two\n".to_owned())]);
        assert_eq!(fs::read_to_string(&counter).unwrap(), "run\n".repeat(2));
        fs::remove_file(&binary).unwrap();
        assert_eq!(ask().await, []);
    }
}
