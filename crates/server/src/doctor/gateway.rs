//! Whether the gateway answers.

use std::io;
use std::path::Path;
use std::time::Duration;

use pilothouse_gateway_protocol::GatewayPaths;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Check, Verdict};

const SUBJECT: &str = "gateway";

/// A gateway that works answers within a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the gateway of a data directory; `wanted` when a control plane runs there.
pub(super) async fn check(data_dir: &Path, wanted: bool) -> Check {
    let paths = GatewayPaths::new(data_dir);
    let check = |verdict, finding: String| Check::new(SUBJECT, verdict, finding);
    match tokio::time::timeout(PATIENCE, farewell(&paths.socket)).await {
        Ok(Ok(())) => check(Verdict::Ok, "it answers".to_owned()),
        Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            let verdict = if wanted { Verdict::Problem } else { Verdict::Note };
            let check = check(verdict, format!("none runs on {}", data_dir.display()));
            if wanted {
                check.remedy("the control plane starts it again; its log says why it cannot")
            } else {
                check
            }
        }
        Ok(Err(error)) => check(Verdict::Warning, format!("it cannot be asked: {error}")),
        Err(_) => {
            let holder = std::fs::read_to_string(&paths.lock).unwrap_or_default();
            let finding = format!("process {} does not answer", holder.trim());
            check(Verdict::Problem, finding)
                .remedy("a running control plane ends and replaces it within half a minute; without one: end the process, then pilothouse serve")
        }
    }
}

/// Opens a connection and says at once that nothing will come. A gateway that works closes it; a greeting would make us the control
/// plane that steers.
async fn farewell(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}
