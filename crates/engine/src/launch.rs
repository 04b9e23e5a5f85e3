//! Descriptions of a launch; the runtime carries them out.

use std::path::PathBuf;

use pilothouse_model::EngineVersion;

/// How to find the installed versions of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryProbe {
    /// File name of the server binary.
    pub binary: &'static str,
    /// Arguments that make it print its version and end.
    pub arguments: &'static [&'static str],
    /// The package that provides it on Debian and Ubuntu.
    pub package: &'static str,
}

/// What a binary said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveredVersion {
    /// Its own version.
    pub version: EngineVersion,
    /// The Redis version whose protocol and commands it has.
    pub compatible: EngineVersion,
}

/// A file that must stand in the server's directory before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFile {
    /// Relative to the server's directory.
    pub path: PathBuf,
    /// The whole content. Written whole or not at all, mode 0600.
    pub content: String,
}

/// How to start a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchDescription {
    /// Files to write first.
    pub files: Vec<ServerFile>,
    /// Directories to make first, relative to the server's directory, mode 0700.
    pub directories: Vec<PathBuf>,
    /// Arguments of the server binary. Never a secret: other users can read them.
    pub arguments: Vec<String>,
    /// Environment, in addition to a minimal one.
    pub environment: Vec<(String, String)>,
}
