//! The socket: bound where only the right people reach it, served until told to stop.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::Router;
use pilothouse_control::Control;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Peer;
use crate::handlers::App;
use crate::routes::router;

/// Binds the socket, mode 0600. A socket that an earlier process left behind is replaced: the caller holds the lock of the directory.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until `stop`, then finishes the requests under way, also those whose clients are gone.
pub async fn serve(listener: UnixListener, control: Control, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let router: Router = router(App::new(control, tasks.clone()));
    let service = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the local socket is closed");
    }
    tasks.close();
    tasks.wait().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(bind(&path).unwrap());
        let _listener = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
