//! Running the program with an environment of its own.

use std::path::Path;
use std::process::{Command, Output};

/// The program that is tested.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pilothouse");

/// A command that runs the program in `directory`, with none of the variables of whoever runs the tests.
pub(crate) fn pilothouse(directory: &Path) -> Command {
    program_at(Path::new(PROGRAM), directory)
}

/// The same with another copy of the program.
pub(crate) fn program_at(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PILOTHOUSE_")) {
        command.env_remove(name);
    }
    command
}

/// Exit code, stdout and stderr.
pub(crate) fn result(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}
